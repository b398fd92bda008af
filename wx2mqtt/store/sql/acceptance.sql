-- last_row --
-- The highest number that a command ever had; no row while there was none.
SELECT seq FROM sqlite_sequence WHERE name = 'command';

-- known --
-- The commands with these ids.
SELECT * FROM command WHERE account = ?1 AND command_id IN (SELECT value FROM json_each(?2));

-- same_delivery --
-- The row that came with this packet id, topic and content in this session of the broker. A newer row with the
-- same packet id would prove that the broker had taken our acknowledgement of the older one.
SELECT * FROM command AS one
WHERE account = ?1 AND session = ?2 AND digest = ?3 AND topic = ?4 AND mid = ?5 AND NOT EXISTS (
    SELECT 1 FROM command AS newer
    WHERE newer.id > one.id AND newer.account = ?1 AND newer.session = ?2 AND newer.mid = ?5
)
ORDER BY id DESC LIMIT 1;

-- similar_delivery --
-- The same topic and content in this session, whatever the packet id.
SELECT * FROM command WHERE account = ? AND session = ? AND digest = ? AND topic = ? LIMIT 1;

-- replies --
-- More places wait for the result of a command that is under way.
UPDATE command SET replies = ?3 WHERE account = ?1 AND id = ?2 AND status IS NULL;

-- add --
INSERT INTO command
    (id, account, command_id, fingerprint, person, key, accepted, expires, duplicate_possible, settled, status,
     message_id, session, mid, topic, digest, sha256, blob, replies, result, command)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);
