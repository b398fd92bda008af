-- add --
-- Something that no message from WeChat brought.
INSERT INTO publication (account, sort, topic, created, content_type, correlation, expiry, payload)
VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- waiting --
-- The next rows in order; the index holds the topic, so that skipped ones cost little. What lies behind a held
-- row of its topic waits with it.
SELECT id, topic, payload, sort, created, content_type, correlation, expiry, user
FROM publication AS row
WHERE account = ?1 AND state = 0 AND id > ?2 AND topic NOT IN (SELECT value FROM json_each(?3))
    AND NOT EXISTS (
        SELECT 1 FROM publication AS held
        WHERE held.account = ?1 AND held.state = 4 AND held.topic = row.topic AND held.id < row.id
    )
ORDER BY id LIMIT ?4;

-- waiting_in --
-- The next rows of a topic that may go again, up to one that is held.
SELECT id, topic, payload, sort, created, content_type, correlation, expiry, user
FROM publication
WHERE account = ?1 AND state = 0 AND id > ?2 AND id <= ?3 AND topic = ?4
    AND id < ifnull((SELECT min(id) FROM publication WHERE account = ?1 AND state = 4 AND topic = ?4), ?3 + 1)
ORDER BY id LIMIT ?5;

-- published --
-- Acknowledged by the broker, also when it had been given up meanwhile.
UPDATE publication SET state = 1
WHERE id IN (SELECT value FROM json_each(?2)) AND account = ?1 AND state <> 1;

-- set_aside --
UPDATE publication SET state = 2, why = ?3
WHERE id IN (SELECT value FROM json_each(?2)) AND account = ?1 AND state = 0;

-- aside --
SELECT id, topic, payload, sort, created, content_type, correlation, expiry, user, why
FROM publication WHERE account = ? AND state = 2 ORDER BY id LIMIT ?;

-- bring_back --
UPDATE publication SET state = 0, why = NULL
WHERE id IN (SELECT value FROM json_each(?2)) AND account = ?1 AND state = 2;

-- drop_topic --
UPDATE publication SET state = 3, why = ?3 WHERE account = ?1 AND state = 0 AND topic = ?2;

-- count_dropped --
UPDATE account SET dropped = dropped + ? WHERE name = ?;

-- event_private --
-- What an event keeps for the backend; `kind` is its name.
SELECT private FROM publication WHERE account = ? AND key = ? AND sort = 'event' AND kind = ?;

-- author --
-- A message, by what WeChat calls it.
SELECT payload FROM publication WHERE account = ? AND key = ? AND seq IS NOT NULL;
