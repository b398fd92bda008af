-- add --
-- Adds a file that is to be downloaded.
INSERT INTO media (id, account, part, kind, message_id, seq, user, ref, state, due, created)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- next_due --
-- The file to download next: the earliest first, a whole file before its thumbnail.
SELECT * FROM media WHERE account = ? AND state = 'pending' AND due IS NOT NULL ORDER BY due, part DESC, seq LIMIT 1;

-- by_id --
SELECT * FROM media WHERE account = ? AND id = ?;

-- of_messages --
-- The files of these messages, in the order of the messages; each whole file before its thumbnail.
SELECT media.* FROM json_each(?2) AS wanted
JOIN media ON media.account = ?1 AND media.message_id = wanted.value AND media.message_id <> ''
ORDER BY wanted.key, part DESC;

-- newest_avatar --
SELECT * FROM media WHERE account = ? AND part = 'avatar' AND user = ? ORDER BY created DESC LIMIT 1;

-- request --
-- Schedules a download that a client waits for; one that was given up starts anew.
UPDATE media SET
    due = CASE WHEN state = 'pending' AND due < ?3 THEN due ELSE ?3 END,
    tries = CASE WHEN state = 'pending' THEN tries ELSE 0 END,
    empty = CASE WHEN state = 'pending' THEN empty ELSE 0 END,
    state = 'pending'
WHERE account = ?1 AND id = ?2 AND state IN ('pending', 'failed');

-- unschedule --
-- No more downloads but those that a client has requested: these ids, and what is due at 0.
UPDATE media SET due = NULL
WHERE account = ?1 AND state = 'pending' AND due > 0 AND id NOT IN (SELECT value FROM json_each(?2));

-- postpone --
UPDATE media SET due = ?3, empty = ?4, why = ?5, tries = tries + 1
WHERE account = ?1 AND id = ?2 AND state = 'pending';

-- mark_ready --
UPDATE media SET state = 'ready', due = NULL, why = '', fetched = ?3, sha256 = ?4, size = ?5, blob = ?6,
    ref = COALESCE(?7, ref)
WHERE account = ?1 AND id = ?2 AND state <> 'ready';

-- mark_unavailable --
UPDATE media SET state = ?3, due = NULL, why = ?4, sha256 = NULL, size = NULL, blob = NULL
WHERE account = ?1 AND id = ?2 AND state IN ('pending', 'ready');

-- mark_lost --
-- The file of a row that is ready has vanished from the disk; it is downloaded again.
UPDATE media SET state = 'pending', due = ?3, tries = 0, empty = 0, sha256 = NULL, size = NULL, blob = NULL
WHERE account = ?1 AND id = ?2 AND state = 'ready';

-- held_messages --
-- Messages that are not published before their file is there.
SELECT key, topic, created FROM publication WHERE account = ? AND state = 4 ORDER BY id;

-- held_message --
SELECT id, kind, payload FROM publication WHERE account = ? AND key = ? AND state = 4;

-- release_message --
UPDATE publication SET state = 0, payload = ?3 WHERE account = ?1 AND id = ?2 AND state = 4;
