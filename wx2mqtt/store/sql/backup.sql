-- stream --
SELECT value FROM meta WHERE name = 'stream';

-- accounts --
SELECT name FROM account ORDER BY name;

-- message_count --
SELECT count(*) FROM publication WHERE seq IS NOT NULL;

-- unsent_files --
-- Files that commands have still to send.
SELECT DISTINCT blob FROM command WHERE status IS NULL AND blob IS NOT NULL;

-- set_stream --
-- Replaces the stream id: the store may give a seq again that consumers saw on messages which it does not contain.
INSERT INTO meta (name, value) VALUES ('stream', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- mark_waiting_uncertain --
-- The bridge that ran on after the backup may have sent these commands; to send twice is worse than to ask the owner.
-- Two unanswered attempts end a command. Its echo may still arrive, so one attempt is counted as made.
UPDATE command SET open = 0, unknown = CASE WHEN unknown > 2 THEN unknown ELSE 2 END, attempts = attempts + 1,
    duplicate_possible = 1
WHERE status IS NULL;

-- set_last_backup --
-- When a backup of this store was written last, in milliseconds.
INSERT INTO meta (name, value) VALUES ('last_backup', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value;
