CREATE TABLE entry (id INTEGER PRIMARY KEY, title VARCHAR(80), happened DATE, country CHAR(2));
