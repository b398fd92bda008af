-- stream --
SELECT value FROM meta WHERE name = 'stream';

-- accounts --
SELECT name FROM account ORDER BY name;

-- messages --
SELECT count(*) FROM publication WHERE seq IS NOT NULL;

-- unsent --
-- Files that commands have still to send.
SELECT DISTINCT blob FROM command WHERE status IS NULL AND blob IS NOT NULL;

-- new_stream --
-- Numbers may be given again that others have seen on messages which this store knows nothing of.
INSERT OR REPLACE INTO meta (name, value) VALUES ('stream', ?);

-- doubt --
-- A bridge that went on after the copy was made may have sent these: nobody knows, and twice is worse than asking.
-- Two attempts without an answer are the end of a command; its echo may come yet, so one of them is counted as made.
UPDATE command SET open = 0, unknown = max(unknown, 2), attempts = attempts + 1, duplicate_possible = 1
WHERE status IS NULL;
