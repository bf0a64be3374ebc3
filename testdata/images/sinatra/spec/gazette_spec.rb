require 'rack/test'
require_relative '../app'

RSpec.describe Gazette do
  include Rack::Test::Methods
  let(:app) { Gazette }

  it 'lists its articles' do
    get '/'
    expect(last_response.body).to include('Flood')
  end

  it 'knows what it does not have' do
    get '/articles/none'
    expect(last_response.status).to eq 404
  end
end
