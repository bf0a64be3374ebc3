INSERT INTO entry VALUES (1, 'The great comet', DATE '1882-09-17', 'ZA');
INSERT INTO entry VALUES (2, 'Krakatoa', DATE '1883-08-27', 'ID');
INSERT INTO entry VALUES (3, 'The Tunguska event', DATE '1908-06-30', 'RU');
