-- create --
-- In the file of the index. The first character of a pair may be any but a space; the tokens are compared as they are.
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA cache_size = -500;
CREATE VIRTUAL TABLE IF NOT EXISTS text_pair USING fts5 (pairs, content = '', columnsize = 0, detail = none, tokenize = 'ascii');
CREATE TABLE IF NOT EXISTS state (stream TEXT NOT NULL, first_id INTEGER NOT NULL, indexed_id INTEGER NOT NULL);

-- state --
SELECT stream, first_id, indexed_id FROM state;

-- begin --
INSERT INTO state (stream, first_id, indexed_id) VALUES (?, 0, 0);

-- set_indexed --
UPDATE state SET first_id = ?1, indexed_id = ?2;

-- clear --
INSERT INTO text_pair (text_pair) VALUES ('delete-all');

-- add --
INSERT INTO text_pair (rowid, pairs) VALUES (?, ?);

-- oldest --
SELECT rowid FROM text_pair WHERE text_pair MATCH ?1 AND rowid BETWEEN ?2 AND ?3 ORDER BY rowid LIMIT ?4;

-- newest --
SELECT rowid FROM text_pair WHERE text_pair MATCH ?1 AND rowid BETWEEN ?2 AND ?3 ORDER BY rowid DESC LIMIT ?4;

-- stored_ids --
-- In the database.
SELECT (SELECT id FROM publication ORDER BY id LIMIT 1 OFFSET ?1), (SELECT max(id) FROM publication);

-- new_rows --
SELECT id, text FROM publication WHERE id > ?1 AND seq IS NOT NULL AND text <> '' ORDER BY id LIMIT ?2;

-- stream --
SELECT value FROM meta WHERE name = 'stream';
