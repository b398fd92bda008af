-- new_stream --
-- The name of this store, made once.
INSERT OR IGNORE INTO meta (name, value) VALUES ('stream', ?);

-- stream --
SELECT value FROM meta WHERE name = 'stream';

-- new_account --
INSERT OR IGNORE INTO account (name) VALUES (?);

-- account --
SELECT base_topic, session, login_id, cursor, seq FROM account WHERE name = ?;

-- base_topic --
UPDATE account SET base_topic = ? WHERE name = ?;

-- session --
UPDATE account SET session = ? WHERE name = ?;

-- last --
-- The newest message; it is never pruned.
SELECT payload FROM publication WHERE account = ? AND seq IS NOT NULL ORDER BY seq DESC LIMIT 1;

-- seq --
SELECT seq FROM account WHERE name = ?;

-- known --
-- Keys that were handed over before, be their publication still there or not.
SELECT key FROM publication WHERE account = ?1 AND key IN (SELECT value FROM json_each(?2))
UNION ALL
SELECT key FROM seen WHERE account = ?1 AND key IN (SELECT value FROM json_each(?2));

-- add --
-- A message or an event, waiting for the broker or held.
INSERT INTO publication
    (account, state, sort, topic, created, user, content_type, key, seq, message_id, kind, time, sender, private,
     text, payload)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- advance --
-- The cursor after the batch; without one the stored one stays.
UPDATE account SET
    seq = ?1,
    cursor = coalesce(?2, cursor),
    login_id = CASE WHEN ?2 IS NULL THEN login_id ELSE ?3 END
WHERE name = ?4;
