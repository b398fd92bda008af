-- newest_created --
-- When the newest row of any account was created: all accounts share one clock, and both tables grow at their end.
SELECT max(created) FROM (
    SELECT created FROM (SELECT created FROM publication ORDER BY id DESC LIMIT 1) AS published
    UNION ALL
    SELECT accepted FROM (SELECT accepted FROM command ORDER BY id DESC LIMIT 1) AS accepted
) AS newest;

-- oldest_messages --
-- The next messages after seq ?2: seq, row id, whether it may be deleted, when it was created. The newest message stays.
SELECT seq, id, state IN (1, 3) AND seq < (SELECT account.seq FROM account WHERE name = ?1), created
FROM publication WHERE account = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3;

-- finished_transient --
-- Published results, responses and events. Those with fields for a later request stay as long as their key.
SELECT id FROM publication
WHERE account = ?1 AND seq IS NULL AND state IN (1, 3) AND created < ?2
    AND (private IS NULL OR created < ?3)
LIMIT ?4;

-- keep_keys --
-- Remembers the keys of rows that are about to be deleted. The plus signs keep SQLite from reading all keys of the
-- account by their index instead of these rows.
INSERT OR IGNORE INTO seen (account, key, created)
SELECT account, key, created FROM publication
WHERE id IN (SELECT CAST(value AS INTEGER) FROM json_each(?2)) AND +account = ?1 AND +key IS NOT NULL;

-- delete_publications --
DELETE FROM publication WHERE id IN (SELECT CAST(value AS INTEGER) FROM json_each(?2)) AND account = ?1;

-- delete_commands --
DELETE FROM command WHERE id IN (
    SELECT id FROM command WHERE account = ? AND status IS NOT NULL AND settled < ? LIMIT ?
);

-- delete_refused --
-- Commands that were refused: nothing of them was sent, so a repeat is judged anew and does no harm.
DELETE FROM command WHERE id IN (
    SELECT id FROM command WHERE account = ? AND status = 'rejected' AND settled < ? LIMIT ?
);

-- delete_keys --
DELETE FROM seen WHERE (account, key) IN (SELECT account, key FROM seen WHERE account = ? AND created < ? LIMIT ?);

-- delete_requests --
DELETE FROM deed WHERE (account, session, mid) IN (
    SELECT account, session, mid FROM deed WHERE account = ? AND created < ? LIMIT ?
);

-- accounts --
SELECT name FROM account ORDER BY name;

-- account_topics --
-- The base topic and the discovery record of an account.
SELECT base_topic, announced FROM account WHERE name = ?;

-- levels --
SELECT level FROM level WHERE account = ? ORDER BY level;

-- row_counts --
SELECT
    (SELECT count(*) FROM publication WHERE account = ?1 AND seq IS NOT NULL),
    (SELECT count(*) FROM command WHERE account = ?1),
    (SELECT count(*) FROM person WHERE account = ?1),
    (SELECT count(*) FROM media WHERE account = ?1 AND state = 'ready');

-- remove_messages --
-- This and the other `remove_…` statements of rows delete up to ?2 rows of an account, so that each commit stays small.
DELETE FROM publication WHERE id IN (
    SELECT id FROM publication WHERE account = ? AND seq IS NOT NULL ORDER BY seq LIMIT ?
);

-- remove_publications --
DELETE FROM publication WHERE id IN (
    SELECT id FROM publication WHERE account = ? AND seq IS NULL ORDER BY created LIMIT ?
);

-- remove_commands --
DELETE FROM command WHERE id IN (SELECT id FROM command WHERE account = ? ORDER BY command_id LIMIT ?);

-- remove_keys --
DELETE FROM seen WHERE (account, key) IN (SELECT account, key FROM seen WHERE account = ? LIMIT ?);

-- remove_requests --
DELETE FROM deed WHERE (account, session, mid) IN (
    SELECT account, session, mid FROM deed WHERE account = ? LIMIT ?
);

-- remove_media --
DELETE FROM media WHERE id IN (SELECT id FROM media WHERE account = ? ORDER BY id LIMIT ?);

-- remove_levels --
DELETE FROM level WHERE (account, level) IN (SELECT account, level FROM level WHERE account = ? LIMIT ?);

-- remove_persons --
DELETE FROM person WHERE (account, id) IN (SELECT account, id FROM person WHERE account = ? LIMIT ?);

-- forget_people --
-- Makes the next `people.json` leave the account out.
UPDATE account SET next_person = 1 WHERE name = ?;

-- remove_account --
DELETE FROM account WHERE name = ?;

-- delete_questions --
-- Questions that were closed before ?2, by an answer or by time. One that was asked after an open one of the same person
-- stays: a bare number must not mean the older one.
DELETE FROM question WHERE id IN (
    SELECT id FROM question AS old
    WHERE account = ?1 AND (closed < ?2 OR until < ?2) AND NOT EXISTS (
        SELECT 1 FROM question AS older
        WHERE older.account = ?1 AND older.person = old.person AND older.id < old.id
            AND older.closed IS NULL AND (older.until IS NULL OR older.until >= ?2)
    )
    LIMIT ?3
);

-- remove_questions --
DELETE FROM question WHERE id IN (SELECT id FROM question WHERE account = ? ORDER BY id LIMIT ?);
