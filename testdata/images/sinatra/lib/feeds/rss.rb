require 'rss'

module Feeds
  module Rss
    TYPE = 'application/xml'.freeze

    def self.write(names)
      RSS::Maker.make('2.0') do |maker|
        maker.channel.title = 'The gazette'
        maker.channel.link = '/'
        maker.channel.description = 'News of the village'
        names.each do |name|
          maker.items.new_item { |item| item.title = item.link = name }
        end
      end.to_s
    end
  end
end
