require 'rexml/document'

module Feeds
  module Opml
    TYPE = 'text/x-opml'.freeze

    def self.write(names)
      root = REXML::Document.new('<opml version="2.0"><body/></opml>')
      names.each { |name| root.root.elements['body'].add_element('outline', 'text' => name) }
      out = +''
      REXML::Formatters::Pretty.new.write(root, out)
      out
    end
  end
end
