require 'bundler/setup'
require 'sinatra/base'
require 'i18n'

# A village's gazette: articles in Markdown, told in several languages and formats.
class Gazette < Sinatra::Base
  set :root, __dir__
  set :show_exceptions, false
  set :raise_errors, false
  disable :protection

  autoload :Archive, File.join(__dir__, 'lib/archive')
  autoload :Clerk, File.join(__dir__, 'lib/clerk')
  autoload :Press, File.join(__dir__, 'lib/press')

  I18n.load_path = Dir[File.join(__dir__, 'locales', '*.yml')]
  I18n.enforce_available_locales = true

  helpers do
    def articles
      Dir[File.join(settings.root, 'data/articles/*.md')].sort.map { |f| File.basename(f, '.md') }
    end

    def text
      request.body.rewind
      request.body.read.force_encoding('UTF-8')
    end

    def answer(value)
      require 'json'
      content_type :json
      JSON.generate(value)
    end
  end

  get('/') { erb :index }
  get('/health') { 'ok' }

  get '/articles/:name' do
    halt 404 unless articles.include?(params[:name])
    require 'kramdown'
    source = File.read(File.join(settings.root, 'data/articles', "#{params[:name]}.md"))
    # kramdown asks rouge for the language of each block of code by its name.
    @body = Kramdown::Document.new(source, syntax_highlighter: 'rouge').to_html
    erb :article
  end

  get('/colophon') { haml :colophon }

  get '/welcome/:locale' do
    halt 404 unless I18n.locale_available?(params[:locale])
    require 'date'
    I18n.with_locale(params[:locale]) do
      "#{I18n.t(:welcome, count: 3)} #{I18n.l(Date.new(1884, 10, 22), format: :long)}\n"
    end
  end

  get '/feeds/:format' do
    name = params[:format][/\A[a-z]+\z/]
    path = File.join(settings.root, 'lib/feeds', "#{name}.rb")
    halt 404 unless name && File.exist?(path)
    require path
    feed = Feeds.const_get(name.capitalize)
    content_type feed::TYPE
    feed.write(articles)
  end

  get('/subscribers') { answer Archive.subscribers }
  get('/towns/:country') { answer Archive.towns(params[:country]) }
  get('/search') { answer Archive.search(params[:q]) }

  post '/login' do
    answer Clerk.login(text)
  end
  post('/query') { answer Clerk.query(text, params[:xpath]) }
  post('/encode/:charset') { answer Clerk.encode(text, params[:charset]) }
  get('/zones/*') { answer Clerk.zone(params[:splat].first) }
  get('/trust') { answer Clerk.trust }
  get('/digest/:name') { answer Clerk.digest(params[:name]) }
  get('/self') { answer Clerk.ask_self(request.env['SERVER_PORT']) }
  get('/types/:extension') { answer Clerk.type(params[:extension]) }
  get('/host') { answer Clerk.host }

  get('/picture') { answer Press.picture }
  get('/bundle') { answer Press.bundle(articles, settings.root) }
  get('/packed') { answer Press.packed(File.join(settings.root, 'data/towns.csv')) }
  get('/cipher') { answer Press.cipher }
  get('/proof/*') { answer Press.proof(params[:splat].first) }

  not_found { erb :'errors/missing' }

  error do
    @error = env['sinatra.error']
    haml :'errors/broken'
  end
end
