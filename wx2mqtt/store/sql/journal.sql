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
UPDATE account SET session = ?2 WHERE name = ?1;

-- newest_payload --
-- The payload of the newest message, which is never pruned.
SELECT payload FROM publication WHERE account = ? AND seq IS NOT NULL ORDER BY seq DESC LIMIT 1;

-- stats --
-- The columns are the fields of `JournalStats`, in their order. The commands that were not sent are counted in the index
-- `command_settled`. Those of the bridge itself and the fallbacks of other accounts' commands do not count: they are
-- counted in `command_known` and `command_fallback`. None of this reads a row.
SELECT
    (SELECT count(*) FROM publication WHERE account = ?1 AND state = 0),
    (SELECT created FROM publication WHERE account = ?1 AND state = 0 ORDER BY id LIMIT 1),
    (SELECT count(*) FROM command WHERE account = ?1 AND status IS NULL),
    (SELECT accepted FROM command WHERE account = ?1 AND status IS NULL ORDER BY id LIMIT 1),
    (SELECT count(*) FROM publication WHERE account = ?1 AND state = 2),
    dropped,
    seq,
    (SELECT count(*) FROM command
     WHERE account = ?1 AND status IS NOT NULL AND settled > ?2 AND status <> 'sent')
    - (SELECT count(*) FROM command
       WHERE account = ?1 AND command_id >= 'wx2mqtt-' AND command_id < 'wx2mqtt.'
          AND settled > ?2 AND status <> 'sent')
    - (SELECT count(*) FROM command
       WHERE account = ?1 AND fallback_of <> '' AND status IS NOT NULL AND settled > ?2 AND status <> 'sent'),
    (SELECT count(*) FROM media WHERE account = ?1 AND state = 'pending' AND due IS NOT NULL),
    (SELECT value FROM meta WHERE name = 'last_backup')
FROM account WHERE name = ?1;
