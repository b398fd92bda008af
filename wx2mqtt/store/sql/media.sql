-- add --
-- Bytes that are to be fetched.
INSERT INTO media (id, account, part, kind, message_id, seq, user, ref, state, due, created)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- next --
-- The one that is due first, the thing itself before a small picture of it.
SELECT * FROM media WHERE account = ? AND state = 'pending' AND due IS NOT NULL ORDER BY due, part DESC, seq LIMIT 1;

-- get --
SELECT * FROM media WHERE account = ? AND id = ?;

-- of_messages --
SELECT media.* FROM json_each(?2) AS wanted
JOIN media ON media.account = ?1 AND media.message_id = wanted.value AND media.message_id <> ''
ORDER BY wanted.key, part DESC;

-- avatar --
-- The newest picture of somebody.
SELECT * FROM media WHERE account = ? AND part = 'avatar' AND user = ? ORDER BY created DESC LIMIT 1;

-- ask --
-- Somebody waits for it. What was given up is tried anew.
UPDATE media SET
    due = CASE WHEN state = 'pending' THEN min(coalesce(due, ?3), ?3) ELSE ?3 END,
    tries = CASE WHEN state = 'pending' THEN tries ELSE 0 END,
    empty = CASE WHEN state = 'pending' THEN empty ELSE 0 END,
    state = 'pending'
WHERE account = ?1 AND id = ?2 AND state IN ('pending', 'failed');

-- postpone --
UPDATE media SET due = ?3, empty = ?4, why = ?5, tries = tries + 1
WHERE account = ?1 AND id = ?2 AND state = 'pending';

-- ready --
UPDATE media SET state = 'ready', due = NULL, why = '', fetched = ?3, sha256 = ?4, size = ?5, blob = ?6
WHERE account = ?1 AND id = ?2 AND state <> 'ready';

-- over --
UPDATE media SET state = ?3, due = NULL, why = ?4, sha256 = NULL, size = NULL, blob = NULL
WHERE account = ?1 AND id = ?2 AND state IN ('pending', 'ready');

-- lost --
-- The file of a ready one is not there any more.
UPDATE media SET state = 'pending', due = ?3, tries = 0, empty = 0, sha256 = NULL, size = NULL, blob = NULL
WHERE account = ?1 AND id = ?2 AND state = 'ready';

-- held --
SELECT key, topic, created FROM publication WHERE account = ? AND state = 4 ORDER BY id;

-- held_one --
SELECT id, kind, payload FROM publication WHERE account = ? AND key = ? AND state = 4;

-- release --
UPDATE publication SET state = 0, payload = ?3 WHERE account = ?1 AND id = ?2 AND state = 4;
