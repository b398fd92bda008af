-- accounts --
SELECT name FROM account ORDER BY name;

-- base_topic --
SELECT base_topic, announced FROM account WHERE name = ?;

-- levels --
SELECT level FROM level WHERE account = ? ORDER BY level;

-- counts --
SELECT
    (SELECT count(*) FROM publication WHERE account = ?1 AND seq IS NOT NULL),
    (SELECT count(*) FROM command WHERE account = ?1),
    (SELECT count(*) FROM person WHERE account = ?1),
    (SELECT count(*) FROM media WHERE account = ?1 AND state = 'ready');

-- messages --
DELETE FROM publication WHERE id IN (
    SELECT id FROM publication WHERE account = ? AND seq IS NOT NULL ORDER BY seq LIMIT ?
);

-- publications --
DELETE FROM publication WHERE id IN (
    SELECT id FROM publication WHERE account = ? AND seq IS NULL ORDER BY created LIMIT ?
);

-- commands --
DELETE FROM command WHERE id IN (SELECT id FROM command WHERE account = ? ORDER BY command_id LIMIT ?);

-- keys --
DELETE FROM seen WHERE (account, key) IN (SELECT account, key FROM seen WHERE account = ? LIMIT ?);

-- deeds --
DELETE FROM deed WHERE (account, session, mid) IN (
    SELECT account, session, mid FROM deed WHERE account = ? LIMIT ?
);

-- media --
DELETE FROM media WHERE id IN (SELECT id FROM media WHERE account = ? ORDER BY id LIMIT ?);

-- given_levels --
DELETE FROM level WHERE (account, level) IN (SELECT account, level FROM level WHERE account = ? LIMIT ?);

-- persons --
DELETE FROM person WHERE (account, id) IN (SELECT account, id FROM person WHERE account = ? LIMIT ?);

-- nobody --
-- Then `people.json` has nothing of the account either.
UPDATE account SET next_person = 1 WHERE name = ?;

-- account --
DELETE FROM account WHERE name = ?;
