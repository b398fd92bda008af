-- new_ids --
-- The next ?1 row ids, at least one; no command ever had one of them.
WITH RECURSIVE free (id, number) AS (
    SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'command'), 0) + 1, 1
    UNION ALL
    SELECT id + 1, number + 1 FROM free WHERE number < ?1
)
SELECT id FROM free;

-- by_ids --
-- The commands with these ids.
SELECT * FROM command WHERE account = ?1 AND command_id IN (SELECT value FROM json_each(?2));

-- same_delivery --
-- The command that came with this packet id, topic and content in this session of the broker. A newer row with the
-- same packet id would prove that the broker has our acknowledgement of the older one.
SELECT * FROM command AS one
WHERE account = ?1 AND session = ?2 AND digest = ?3 AND topic = ?4 AND mid = ?5 AND NOT EXISTS (
    SELECT 1 FROM command AS newer
    WHERE newer.id > one.id AND newer.account = ?1 AND newer.session = ?2 AND newer.mid = ?5
)
ORDER BY id DESC LIMIT 1;

-- similar_delivery --
-- A command with the same topic and content in this session, whatever its packet id.
SELECT * FROM command WHERE account = ? AND session = ? AND digest = ? AND topic = ? LIMIT 1;

-- set_replies --
-- Replaces the topics that get the result of a command that waits.
UPDATE command SET replies = ?3 WHERE account = ?1 AND id = ?2 AND status IS NULL;

-- add --
INSERT INTO command
    (id, account, command_id, fingerprint, person, key, accepted, expires, open, attempts, duplicate_possible,
     settled, status, message_id, session, mid, topic, digest, sha256, blob, replies, result, command, fallback_of)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- by_id --
SELECT * FROM command WHERE account = ? AND command_id = ?;

-- due --
-- The next waiting commands, without those to the recipients ?2: a person, or the user where no person is stored.
SELECT * FROM command
WHERE account = ?1 AND status IS NULL
    AND coalesce(person, json_extract(command, '$.user')) NOT IN (SELECT value FROM json_each(?2))
ORDER BY id LIMIT ?3;

-- waiting_ids --
SELECT id FROM command WHERE account = ? AND status IS NULL ORDER BY id;

-- last_for --
-- When the newest command to a person (?2, or ?3 where no person is stored) was accepted, that the bridge did not make.
SELECT accepted FROM command
WHERE account = ?1 AND coalesce(person, json_extract(command, '$.user')) IN (?2, ?3)
    AND substr(command_id, 1, 8) <> 'wx2mqtt-'
ORDER BY id DESC LIMIT 1;

-- by_row_id --
SELECT * FROM command WHERE account = ? AND id = ?;

-- owner --
SELECT owner FROM account WHERE name = ?;

-- set_owner --
UPDATE account SET owner = ?2 WHERE name = ?1;

-- urgent --
-- Waiting commands that may go out by the fallback service.
SELECT * FROM command
WHERE account = ? AND status IS NULL AND json_extract(command, '$.urgent') ORDER BY id;

-- start_attempt --
-- Marks an attempt at the command ?2, or at the bundle that it leads.
UPDATE command SET open = 1, attempts = attempts + 1
WHERE id IN (SELECT ?2 UNION ALL SELECT id FROM command WHERE account = ?1 AND bundle = ?2)
    AND account = ?1 AND status IS NULL;

-- add_to_bundle --
-- Makes a command the one at position ?4 of the bundle that ?3 leads.
UPDATE command SET bundle = ?3, bundle_position = ?4
WHERE account = ?1 AND id = ?2 AND bundle IS NULL AND status IS NULL;

-- bundle --
-- The commands of the bundle that ?2 leads, in the order of its text.
SELECT * FROM command WHERE account = ?1 AND bundle = ?2 AND status IS NULL ORDER BY bundle_position;

-- mark_not_delivered --
-- A bundle of which no attempt is in doubt is given up: its commands wait on their own again.
UPDATE command SET
    open = 0,
    bundle = CASE WHEN unknown > 0 THEN bundle END,
    bundle_position = CASE WHEN unknown > 0 THEN bundle_position ELSE 0 END
WHERE id IN (SELECT ?2 UNION ALL SELECT id FROM command WHERE account = ?1 AND bundle = ?2)
    AND account = ?1 AND status IS NULL;

-- remove_heading --
-- Removes the bridge's own heading ?2, whose bundle was given up.
DELETE FROM command WHERE account = ?1 AND id = ?2 AND bundle IS NULL AND status IS NULL;

-- mark_uncertain --
UPDATE command SET open = 0, unknown = unknown + 1, duplicate_possible = 1
WHERE id IN (SELECT ?2 UNION ALL SELECT id FROM command WHERE account = ?1 AND bundle = ?2)
    AND account = ?1 AND status IS NULL;

-- hold --
-- Holds a command until it can be sent, at most until ?4.
UPDATE command SET held = ?3, expires = ?4 WHERE account = ?1 AND id = ?2 AND status IS NULL;

-- mark_part_sent --
-- One part of a long text or of a caption was sent, as the message ?3. The counter of unanswered attempts starts anew for the next part.
UPDATE command SET open = 0, unknown = 0, parts_sent = parts_sent + 1, part_ids = part_ids || ?3
WHERE account = ?1 AND id = ?2 AND status IS NULL;

-- mark_part_lost --
-- One part of a caption, which perhaps did not arrive, is not tried again: ?3 stands for its message.
UPDATE command SET open = 0, unknown = 0, parts_sent = parts_sent + 1, part_ids = part_ids || ?3,
    duplicate_possible = CASE WHEN ?4 = 1 THEN 1 ELSE duplicate_possible END
WHERE account = ?1 AND id = ?2 AND status IS NULL;

-- fallback --
SELECT fallback FROM command WHERE account = ? AND id = ?;

-- set_fallback --
-- Of a fallback that has ended the state stays.
UPDATE command SET fallback = CASE WHEN fallback IN ('', 'begun') THEN ?3 ELSE fallback END
WHERE account = ?1 AND id = ?2 AND status IS NULL;

-- attach_file --
-- Attaches the file that the command had to fetch by URL.
UPDATE command SET sha256 = ?3, blob = ?4 WHERE account = ?1 AND id = ?2 AND status IS NULL;

-- finish --
UPDATE command SET open = 0, settled = ?3, status = ?4, message_id = ?5, result = ?6
WHERE account = ?1 AND id = ?2 AND status IS NULL;

-- recover_attempts --
-- Attempts that were in progress when the process ended become uncertain.
UPDATE command SET open = 0, unknown = unknown + 1, duplicate_possible = 1
WHERE account = ? AND open = 1 AND status IS NULL;

-- in_doubt --
SELECT * FROM command WHERE account = ? AND status IS NULL AND unknown > 0 ORDER BY id;

-- unanswered --
-- Commands with an unanswered attempt that wait, or were finished after ?2. That of a caption counts no more once its file
-- follows: it is among the parts.
SELECT * FROM command
WHERE account = ?1 AND (unknown > 0 OR part_ids <> ' ') AND (status IS NULL OR settled > ?2) ORDER BY id;

-- attempted --
-- Commands with an attempt that wait, or were finished after ?2.
SELECT * FROM command
WHERE account = ?1 AND attempts > 0 AND (status IS NULL OR settled > ?2) ORDER BY id;

-- is_sent_message --
-- Also as a caption, or a part of a long text.
SELECT 1 FROM command WHERE account = ?1 AND message_id = ?2
UNION ALL
SELECT 1 FROM command WHERE account = ?1 AND part_ids <> ' ' AND instr(part_ids, ' ' || ?2 || ' ') > 0
LIMIT 1;

-- sent_command --
-- The command that sent the message ?2, and when.
SELECT command, settled FROM command WHERE account = ?1 AND message_id = ?2 AND status = 'sent' LIMIT 1;

-- message_by_key --
-- A stored message: its user, time and payload.
SELECT user, time, payload FROM publication WHERE account = ? AND key = ? AND seq IS NOT NULL;

-- newest_results --
-- The results of the messages that were sent last: of a bundle that of its leading command.
SELECT result FROM command
WHERE account = ?1 AND status = 'sent' AND bundle_position = 0 ORDER BY settled DESC LIMIT ?2;

-- newest --
-- A page of commands, the newest first.
SELECT * FROM command WHERE account = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3;

-- newest_waiting --
SELECT * FROM command WHERE account = ?1 AND id < ?2 AND status IS NULL ORDER BY id DESC LIMIT ?3;

-- newest_unsent --
SELECT * FROM command
WHERE account = ? AND status IS NOT NULL AND status <> 'sent' ORDER BY settled DESC LIMIT ?;

-- count_waiting_of --
SELECT count(*) FROM command
WHERE account = ?1 AND status IS NULL AND json_extract(command, '$.sender') = ?2;

-- with_content --
-- The commands of the sender ?3 with the content ?4, accepted after ?2; only the newest commands are looked at.
SELECT * FROM command
WHERE account = ?1 AND accepted > ?2 AND id > (SELECT max(id) FROM command) - 20000
    AND json_extract(command, '$.content') = ?4 AND json_extract(command, '$.sender') = ?3
ORDER BY id DESC;

-- failing_users --
-- The users to whom no command was sent since another one, finished after ?2, was not: the last ?3, the oldest first.
SELECT user, failed FROM (
    SELECT json_extract(command, '$.user') AS user,
        max(settled) FILTER (WHERE status <> 'sent') AS failed
    FROM command
    WHERE account = ?1 AND status IS NOT NULL AND settled > ?2 AND substr(command_id, 1, 8) <> 'wx2mqtt-'
        AND fallback_of = ''
    GROUP BY 1
    HAVING max(settled) FILTER (WHERE status <> 'sent')
        >= coalesce(max(settled) FILTER (WHERE status = 'sent'), 0)
    ORDER BY failed DESC LIMIT ?3
) AS failing ORDER BY failed;

-- newest_finished --
SELECT * FROM command WHERE account = ?1 AND id < ?2 AND status IS NOT NULL ORDER BY id DESC LIMIT ?3;
