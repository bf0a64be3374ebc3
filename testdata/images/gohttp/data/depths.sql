CREATE TABLE depths (place TEXT PRIMARY KEY, metres REAL);
INSERT INTO depths VALUES ('quay', 7.5), ('roads', 21.25), ('bar', 3.1);
