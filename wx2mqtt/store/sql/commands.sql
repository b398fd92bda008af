-- same_delivery --
-- The newest row that came with this packet id, topic and content in this session of the broker. A newer row
-- with the same packet id would prove that the broker had taken our acknowledgement of the older one.
SELECT * FROM command AS one
WHERE account = ?1 AND session = ?2 AND digest = ?3 AND topic = ?4 AND mid = ?5 AND NOT EXISTS (
    SELECT 1 FROM command AS newer
    WHERE newer.id > one.id AND newer.account = ?1 AND newer.session = ?2 AND newer.mid = ?5
)
ORDER BY id DESC LIMIT 1;

-- similar_delivery --
-- The same topic and content in this session, whatever the packet id.
SELECT 1 FROM command WHERE account = ? AND session = ? AND digest = ? AND topic = ? LIMIT 1;

-- known --
SELECT * FROM command WHERE account = ? AND command_id = ?;

-- by_row --
SELECT * FROM command WHERE account = ? AND id = ?;

-- add --
INSERT INTO command
    (account, command_id, fingerprint, person, key, accepted, expires, duplicate_possible, settled, status,
     message_id, session, mid, topic, digest, replies, result, command)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- replies --
-- More places wait for the result of a command that is under way.
UPDATE command SET replies = ?3 WHERE account = ?1 AND id = ?2 AND status IS NULL;

-- due --
-- What is not settled, but for the persons ?2; 0 stands for a command to nobody known.
SELECT * FROM command
WHERE account = ?1 AND status IS NULL AND coalesce(person, 0) NOT IN (SELECT value FROM json_each(?2))
ORDER BY id LIMIT ?3;

-- begin --
UPDATE command SET open = 1, attempts = attempts + 1 WHERE account = ? AND id = ? AND status IS NULL;

-- not_delivered --
UPDATE command SET open = 0 WHERE account = ? AND id = ? AND status IS NULL;

-- doubt --
UPDATE command SET open = 0, unknown = unknown + 1, duplicate_possible = 1
WHERE account = ? AND id = ? AND status IS NULL;

-- settle --
UPDATE command SET open = 0, settled = ?3, status = ?4, message_id = ?5, result = ?6
WHERE account = ?1 AND id = ?2 AND status IS NULL;

-- recover --
-- Attempts that were under way when the process ended.
UPDATE command SET open = 0, unknown = unknown + 1, duplicate_possible = 1
WHERE account = ? AND open = 1 AND status IS NULL;

-- doubtful --
SELECT * FROM command WHERE account = ? AND status IS NULL AND unknown > 0 ORDER BY id;

-- sent --
SELECT 1 FROM command WHERE account = ? AND message_id = ? LIMIT 1;

-- newest --
SELECT * FROM command WHERE account = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3;

-- newest_waiting --
SELECT * FROM command WHERE account = ?1 AND id < ?2 AND status IS NULL ORDER BY id DESC LIMIT ?3;

-- newest_settled --
SELECT * FROM command WHERE account = ?1 AND id < ?2 AND status IS NOT NULL ORDER BY id DESC LIMIT ?3;
