-- add_stream --
-- Stores the stream id of a new store; an existing one stays.
INSERT OR IGNORE INTO meta (name, value) VALUES ('stream', ?);

-- stream --
SELECT value FROM meta WHERE name = 'stream';

-- add_account --
-- Adds the row of a new account; an existing one stays.
INSERT OR IGNORE INTO account (name) VALUES (?);

-- account --
SELECT base_topic, session, login_id, cursor, seq, owner FROM account WHERE name = ?;

-- set_base_topic --
UPDATE account SET base_topic = ? WHERE name = ?;

-- base_topic --
SELECT base_topic FROM account WHERE name = ?;

-- move_waiting --
-- Replaces the beginning of the topics of what waits, is set aside or is held.
UPDATE publication SET topic = CAST(? AS TEXT) || substr(topic, CAST(? AS INTEGER))
WHERE account = ? AND state IN (0, 2, 4) AND substr(topic, 1, CAST(? AS INTEGER)) = ?;

-- set_broker_session --
UPDATE account SET session = ? WHERE name = ?;

-- newest_payload --
-- The payload of the newest message, which is never pruned.
SELECT payload FROM publication WHERE account = ? AND seq IS NOT NULL ORDER BY seq DESC LIMIT 1;
