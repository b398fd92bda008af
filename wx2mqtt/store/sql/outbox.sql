-- add --
-- Adds a publication that is neither a message nor an event from WeChat.
INSERT INTO publication (account, sort, topic, created, content_type, correlation, expiry, payload)
VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- waiting --
-- The next waiting rows, in order, without those of the topics ?3. The index contains the topic, so that skipped rows
-- cost little. A row behind a held row of the same topic waits for that one.
SELECT id, topic, payload, sort, created, content_type, correlation, expiry, user
FROM publication AS row
WHERE account = ?1 AND state = 0 AND id > ?2 AND topic NOT IN (SELECT value FROM json_each(?3))
    AND NOT EXISTS (
        SELECT 1 FROM publication AS held
        WHERE held.account = ?1 AND held.state = 4 AND held.topic = row.topic AND held.id < row.id
    )
ORDER BY id LIMIT ?4;

-- waiting_in_topic --
-- The next waiting rows of one topic, up to the row ?3 and up to the first held row.
SELECT id, topic, payload, sort, created, content_type, correlation, expiry, user
FROM publication
WHERE account = ?1 AND state = 0 AND id > ?2 AND id <= ?3 AND topic = ?4
    AND id < coalesce((SELECT min(id) FROM publication WHERE account = ?1 AND state = 4 AND topic = ?4), ?3 + 1)
ORDER BY id LIMIT ?5;

-- mark_published --
-- The broker acknowledged these rows; it may do so after they were given up.
UPDATE publication SET state = 1
WHERE id IN (SELECT CAST(value AS INTEGER) FROM json_each(?2)) AND account = ?1 AND state <> 1;

-- delete_published --
-- Messages stay as history, and what has a key to be known again.
DELETE FROM publication
WHERE id IN (SELECT CAST(value AS INTEGER) FROM json_each(?2)) AND account = ?1 AND state = 1
    AND seq IS NULL AND key IS NULL AND private IS NULL;

-- created_times --
SELECT id, created FROM publication WHERE account = ?1 AND id IN (SELECT CAST(value AS INTEGER) FROM json_each(?2));

-- mark_rejected --
UPDATE publication SET state = 2, why = ?3
WHERE id IN (SELECT CAST(value AS INTEGER) FROM json_each(?2)) AND account = ?1 AND state = 0;

-- list_rejected --
SELECT id, topic, payload, sort, created, content_type, correlation, expiry, user, why
FROM publication WHERE account = ? AND state = 2 ORDER BY id LIMIT ?;

-- requeue --
UPDATE publication SET state = 0, why = NULL
WHERE id IN (SELECT CAST(value AS INTEGER) FROM json_each(?2)) AND account = ?1 AND state = 2;

-- drop_topic --
UPDATE publication SET state = 3, why = ?3 WHERE account = ?1 AND state = 0 AND topic = ?2;

-- drop_expired --
UPDATE publication SET state = 3, why = 'expired'
WHERE id IN (SELECT CAST(value AS INTEGER) FROM json_each(?2)) AND account = ?1 AND state = 0;

-- count_dropped --
UPDATE account SET dropped = dropped + ?2 WHERE name = ?1;

-- load_discovery --
SELECT announced FROM account WHERE name = ?;

-- save_discovery --
UPDATE account SET announced = ?2 WHERE name = ?1;
