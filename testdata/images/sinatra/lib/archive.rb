require 'csv'
require 'set'
require 'sqlite3'

# What the gazette has in its drawers.
module Gazette::Archive
  module_function

  def towns(country)
    rows = CSV.read('data/towns.csv', headers: true, encoding: 'Windows-31J:UTF-8')
    chosen = rows.select { |r| r['country'] == country }
    { towns: chosen.map { |r| r['town'] }, countries: rows.map { |r| r['country'] }.to_set.size }
  end

  def subscribers
    require 'yaml'
    YAML.safe_load_file('data/subscribers.yml', permitted_classes: [Date, Symbol]).transform_values { |v| v[:since].year }
  end

  def search(words)
    db = SQLite3::Database.new(':memory:')
    db.execute('CREATE VIRTUAL TABLE article USING fts5(name, body)')
    Dir['data/articles/*.md'].sort.each do |file|
      db.execute('INSERT INTO article VALUES (?, ?)', [File.basename(file, '.md'), File.read(file)])
    end
    db.execute('SELECT name, snippet(article, 1, "[", "]", "…", 6) FROM article WHERE article MATCH ? ORDER BY rank', [words])
  end
end
