# Small services, each with the library it needs.
module Gazette::Clerk
  module_function

  def login(body)
    require 'json'
    require 'bcrypt'
    require 'yaml'
    given = JSON.parse(body)
    hash = YAML.safe_load_file('data/members.yml')[given['name']]
    { known: !hash.nil?, right: !hash.nil? && BCrypt::Password.new(hash) == given['password'] }
  end

  def query(xml, xpath)
    require 'nokogiri'
    found = Nokogiri::XML(xml, &:strict).xpath(xpath).map(&:text)
    { found: found, tidy: Nokogiri::HTML5.fragment("<p>#{found.first}<b>").to_html }
  end

  def encode(text, charset)
    bytes = text.encode(charset)
    { hex: bytes.unpack1('H*'), back: bytes.encode('UTF-8'), nfd: text.unicode_normalize(:nfd).bytesize }
  end

  def zone(name)
    require 'tzinfo'
    require 'time'
    zone = TZInfo::Timezone.get(name)
    noon = Time.utc(1995, 7, 1, 12)
    { here: zone.to_local(noon).iso8601, abbreviation: zone.abbreviation(noon), all: TZInfo::Timezone.all_identifiers.include?(name) }
  end

  def trust
    require 'openssl'
    store = OpenSSL::X509::Store.new
    store.set_default_paths
    bundle = File.read(OpenSSL::X509::DEFAULT_CERT_FILE.then { |f| File.exist?(f) ? f : '/etc/ssl/certs/ca-certificates.crt' })
    roots = bundle.scan(/-----BEGIN.+?END CERTIFICATE-----/m).map { |pem| OpenSSL::X509::Certificate.new(pem) }
    # A root that the system trusts must be found again by its hashed name.
    known = roots.count { |root| store.verify(root) || store.error == OpenSSL::X509::V_ERR_CERT_HAS_EXPIRED }
    { roots: roots.size, known: known }
  end

  def digest(name)
    require 'digest'
    require 'openssl'
    { ruby: Digest.const_get(name.upcase).hexdigest('gazette'), openssl: OpenSSL::Digest.new(name).hexdigest('gazette') }
  end

  def ask_self(port)
    require 'net/http'
    require 'socket'
    { body: Net::HTTP.get(URI("http://localhost:#{port}/health")), address: Addrinfo.getaddrinfo('localhost', nil, :INET).first.ip_address }
  end

  def type(extension)
    require 'mime/types'
    { types: MIME::Types.type_for("a.#{extension}").map(&:to_s) }
  end

  def host
    require 'etc'
    require 'optparse'
    { user: Etc.getpwuid.name, home: Dir.home, ruby: RUBY_VERSION, help: OptionParser.new { |o| o.on('-v', 'be chatty') }.help.lines.size }
  end
end
