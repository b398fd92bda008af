-- newest_seq --
SELECT seq FROM account WHERE name = ?;

-- known_keys --
-- Which of these keys were stored before, also when their publication is gone.
SELECT key FROM publication WHERE account = ?1 AND key IN (SELECT value FROM json_each(?2))
UNION ALL
SELECT key FROM seen WHERE account = ?1 AND key IN (SELECT value FROM json_each(?2));

-- held_topics --
-- Topics with a message that is not published before its file is there: their later messages wait.
SELECT DISTINCT topic FROM publication WHERE account = ? AND state = 4;

-- add --
-- Adds a message or an event, waiting for the broker or held. `sort` is its category; the column `sender` has no use any
-- more.
INSERT INTO publication
    (account, state, sort, topic, created, user, key, kind, time, payload, content_type, seq, message_id,
     text, private)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- advance --
-- Stores the newest seq and the cursor; without a cursor, cursor and login stay as they are.
UPDATE account SET
    seq = ?1,
    cursor = coalesce(?2, cursor),
    login_id = CASE WHEN ?2 IS NULL THEN login_id ELSE ?3 END
WHERE name = ?4;
