-- oldest --
-- The next messages behind seq ?2: row, whether it may go, when it came. The newest message never goes.
SELECT seq, id, state IN (1, 3) AND seq < (SELECT account.seq FROM account WHERE name = ?1), created
FROM publication WHERE account = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3;

-- passing --
-- What is no message and was published; what holds facts for a later request stays as long as its key.
SELECT id FROM publication
WHERE account = ?1 AND seq IS NULL AND state IN (1, 3) AND created < ?2
    AND (private IS NULL OR created < ?3)
LIMIT ?4;

-- keep_keys --
INSERT OR IGNORE INTO seen (account, key, created)
SELECT account, key, created FROM publication
WHERE id IN (SELECT value FROM json_each(?2)) AND account = ?1 AND key IS NOT NULL;

-- remove --
DELETE FROM publication WHERE id IN (SELECT value FROM json_each(?2)) AND account = ?1;

-- remove_commands --
DELETE FROM command WHERE id IN (
    SELECT id FROM command WHERE account = ? AND status IS NOT NULL AND settled < ? LIMIT ?
);

-- remove_keys --
DELETE FROM seen WHERE (account, key) IN (SELECT account, key FROM seen WHERE account = ? AND created < ? LIMIT ?);

-- remove_deeds --
DELETE FROM deed WHERE (account, session, mid) IN (
    SELECT account, session, mid FROM deed WHERE account = ? AND created < ? LIMIT ?
);

-- stats --
-- In the order of `Stats`.
SELECT
    (SELECT count(*) FROM publication WHERE account = ?1 AND state = 0),
    (SELECT created FROM publication WHERE account = ?1 AND state = 0 ORDER BY id LIMIT 1),
    (SELECT count(*) FROM command WHERE account = ?1 AND status IS NULL),
    (SELECT accepted FROM command WHERE account = ?1 AND status IS NULL ORDER BY id LIMIT 1),
    (SELECT count(*) FROM publication WHERE account = ?1 AND state = 2),
    dropped,
    seq,
    (SELECT count(*) FROM command
     WHERE account = ?1 AND status IS NOT NULL AND settled > ?2 AND status IN ('failed', 'uncertain')),
    (SELECT count(*) FROM media WHERE account = ?1 AND state = 'pending' AND due IS NOT NULL)
FROM account WHERE name = ?1;
