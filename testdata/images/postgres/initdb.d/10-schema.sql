CREATE TABLE items (id int PRIMARY KEY, name text NOT NULL, note text, price numeric(8,2));
CREATE TABLE orders (id serial PRIMARY KEY, item int REFERENCES items, placed timestamptz, amount int);
CREATE INDEX ON orders (item);
INSERT INTO items VALUES (1, 'tea', 'Die Häuser der alten Stadt', 4.5), (2, 'coffee', 'strong', 7.25), (3, 'cocoa', 'süß', 6);
INSERT INTO orders (item, placed, amount)
	SELECT 1 + n % 3, timestamptz '2024-01-01 00:00+00' + n * interval '7 hours', n % 11 FROM generate_series(1, 5000) n;
CREATE EXTENSION file_fdw;
CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE prices (name text, price numeric) SERVER files OPTIONS (filename '/srv/data/prices.csv', format 'csv');
