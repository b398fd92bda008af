-- known --
SELECT * FROM command WHERE account = ? AND command_id = ?;

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

-- hold --
-- It waits for a chance to be sent, and until then at most.
UPDATE command SET held = ?3, expires = ?4 WHERE account = ?1 AND id = ?2 AND status IS NULL;

-- part_sent --
-- One part of a long text is out, as the message ?3; of the next one nothing is known yet.
UPDATE command SET open = 0, unknown = 0, parts_sent = parts_sent + 1, part_ids = part_ids || ?3
WHERE account = ?1 AND id = ?2 AND status IS NULL;

-- fallback --
UPDATE command SET fallback = ?3 WHERE account = ?1 AND id = ?2 AND status IS NULL;

-- urgent --
-- What is not settled and may go another way.
SELECT * FROM command
WHERE account = ? AND status IS NULL AND json_extract(command, '$.urgent') ORDER BY id;

-- newest_sent --
-- The results of what was sent last.
SELECT result FROM command WHERE account = ?1 AND status = 'sent' ORDER BY settled DESC LIMIT ?2;

-- settle --
UPDATE command SET open = 0, settled = ?3, status = ?4, message_id = ?5, result = ?6
WHERE account = ?1 AND id = ?2 AND status IS NULL;

-- recover --
-- Attempts that were under way when the process ended.
UPDATE command SET open = 0, unknown = unknown + 1, duplicate_possible = 1
WHERE account = ? AND open = 1 AND status IS NULL;

-- doubtful --
SELECT * FROM command WHERE account = ? AND status IS NULL AND unknown > 0 ORDER BY id;

-- unanswered --
-- What had an attempt that nobody answered and is not settled, or was so after ?2.
SELECT * FROM command
WHERE account = ?1 AND unknown > 0 AND (status IS NULL OR settled > ?2) ORDER BY id;

-- sent --
SELECT 1 FROM command WHERE account = ? AND message_id = ? LIMIT 1;

-- attach --
-- The file of a command that had still to fetch it.
UPDATE command SET sha256 = ?3, blob = ?4 WHERE account = ?1 AND id = ?2 AND status IS NULL;

-- whose --
-- Who got the own message ?2 and when: sent by a command, else the payload of what came with this key.
SELECT command, settled FROM command WHERE account = ?1 AND message_id = ?2 AND status = 'sent' LIMIT 1;

-- by_key --
SELECT user, time, payload FROM publication WHERE account = ? AND key = ? AND seq IS NOT NULL;

-- newest --
SELECT * FROM command WHERE account = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3;

-- newest_waiting --
SELECT * FROM command WHERE account = ?1 AND id < ?2 AND status IS NULL ORDER BY id DESC LIMIT ?3;

-- newest_settled --
SELECT * FROM command WHERE account = ?1 AND id < ?2 AND status IS NOT NULL ORDER BY id DESC LIMIT ?3;
