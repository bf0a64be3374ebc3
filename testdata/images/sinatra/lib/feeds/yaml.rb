require 'yaml'

module Feeds
  module Yaml
    TYPE = 'text/plain'.freeze

    def self.write(names)
      names.map { |name| { 'title' => name, 'path' => "/articles/#{name}" } }.to_yaml
    end
  end
end
