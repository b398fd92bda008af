-- seq_range --
-- The seq of the oldest and of the newest stored message; for min and max SQLite would read all of them.
SELECT
    (SELECT seq FROM publication WHERE account = ?1 AND seq IS NOT NULL ORDER BY seq LIMIT 1),
    (SELECT seq FROM publication WHERE account = ?1 AND seq IS NOT NULL ORDER BY seq DESC LIMIT 1);

-- oldest --
-- Messages with a seq from ?2 to ?3, the oldest first; an empty kind or text matches every message.
SELECT seq, message_id, payload FROM publication
WHERE account = ?1 AND seq IS NOT NULL AND seq BETWEEN ?2 AND ?3
    AND (?4 = '' OR kind = ?4) AND (?5 = '' OR instr(lower(text), ?5) > 0)
ORDER BY seq LIMIT ?6;

-- newest --
SELECT seq, message_id, payload FROM publication
WHERE account = ?1 AND seq IS NOT NULL AND seq BETWEEN ?2 AND ?3
    AND (?4 = '' OR kind = ?4) AND (?5 = '' OR instr(lower(text), ?5) > 0)
ORDER BY seq DESC LIMIT ?6;

-- oldest_in_chat --
-- The same within the chat ?7.
SELECT seq, message_id, payload FROM publication
WHERE account = ?1 AND user = ?7 AND seq IS NOT NULL AND seq BETWEEN ?2 AND ?3
    AND (?4 = '' OR kind = ?4) AND (?5 = '' OR instr(lower(text), ?5) > 0)
ORDER BY seq LIMIT ?6;

-- newest_in_chat --
SELECT seq, message_id, payload FROM publication
WHERE account = ?1 AND user = ?7 AND seq IS NOT NULL AND seq BETWEEN ?2 AND ?3
    AND (?4 = '' OR kind = ?4) AND (?5 = '' OR instr(lower(text), ?5) > 0)
ORDER BY seq DESC LIMIT ?6;

-- among --
-- Messages among the publications ?6, in one of the chats ?7 or, if that is an empty list, in any. The + keeps
-- SQLite from reading all messages from seq ?2 to ?3.
SELECT seq, message_id, payload FROM publication
WHERE id IN (SELECT CAST(value AS INTEGER) FROM json_each(?6)) AND +account = ?1 AND +seq BETWEEN ?2 AND ?3
    AND (?4 = '' OR kind = ?4) AND instr(lower(text), ?5) > 0
    AND (?7 = '[]' OR +user IN (SELECT value FROM json_each(?7)))
ORDER BY +seq;

-- seq_at --
-- The seq of the newest message up to the publication ?2. The + keeps SQLite from reading all up to there.
SELECT seq FROM publication WHERE account = ?1 AND seq IS NOT NULL AND +id <= ?2 ORDER BY seq DESC LIMIT 1;

-- id_range --
-- The publications of the first message from seq ?2 on and of the last one up to ?3.
SELECT
    (SELECT id FROM publication WHERE account = ?1 AND seq IS NOT NULL AND seq >= ?2 ORDER BY seq LIMIT 1),
    (SELECT id FROM publication WHERE account = ?1 AND seq IS NOT NULL AND seq <= ?3 ORDER BY seq DESC LIMIT 1);

-- received_message --
-- The message with the WeChat id ?2. The search starts at the newest, since a reply mostly quotes a recent message.
SELECT kind, text, user, payload FROM publication
WHERE account = ?1 AND seq IS NOT NULL AND message_id = ?2 ORDER BY seq DESC LIMIT 1;

-- sent_message --
-- The command that sent the message ?2, or sent it as a part of a long text; those of a bundle in the order of its text.
SELECT command_id, command FROM (
    SELECT command_id, command FROM command WHERE account = ?1 AND message_id = ?2 ORDER BY bundle_position
) AS whole
UNION ALL
SELECT command_id, command FROM (
    SELECT command_id, command FROM command
    WHERE account = ?1 AND part_ids <> ' ' AND instr(part_ids, ' ' || ?2 || ' ') > 0 LIMIT 1
) AS parts;

-- private_event_fields --
-- What an event keeps for the backend; `kind` is the event's name.
SELECT private FROM publication WHERE account = ? AND key = ? AND sort = 'event' AND kind = ?;

-- message_payload --
-- The payload of the message with this key.
SELECT payload FROM publication WHERE account = ? AND key = ? AND seq IS NOT NULL;
