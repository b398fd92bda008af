-- seq_range --
-- The seq of the oldest and of the newest stored message.
SELECT
    (SELECT min(seq) FROM publication WHERE account = ?1 AND seq IS NOT NULL),
    (SELECT max(seq) FROM publication WHERE account = ?1 AND seq IS NOT NULL);

-- oldest --
-- Messages with a seq from ?2 to ?3, the oldest first; an empty kind or text matches every message.
SELECT seq, message_id, payload FROM publication
WHERE account = ?1 AND seq IS NOT NULL AND seq BETWEEN ?2 AND ?3
    AND (?4 = '' OR kind = ?4) AND (?5 = '' OR instr(lower(text), ?5))
ORDER BY seq LIMIT ?6;

-- newest --
SELECT seq, message_id, payload FROM publication
WHERE account = ?1 AND seq IS NOT NULL AND seq BETWEEN ?2 AND ?3
    AND (?4 = '' OR kind = ?4) AND (?5 = '' OR instr(lower(text), ?5))
ORDER BY seq DESC LIMIT ?6;

-- oldest_in_chat --
-- The same within the chat ?7.
SELECT seq, message_id, payload FROM publication
WHERE account = ?1 AND user = ?7 AND seq IS NOT NULL AND seq BETWEEN ?2 AND ?3
    AND (?4 = '' OR kind = ?4) AND (?5 = '' OR instr(lower(text), ?5))
ORDER BY seq LIMIT ?6;

-- newest_in_chat --
SELECT seq, message_id, payload FROM publication
WHERE account = ?1 AND user = ?7 AND seq IS NOT NULL AND seq BETWEEN ?2 AND ?3
    AND (?4 = '' OR kind = ?4) AND (?5 = '' OR instr(lower(text), ?5))
ORDER BY seq DESC LIMIT ?6;

-- received_message --
-- The message with the WeChat id ?2. The search starts at the newest, since a reply mostly quotes a recent message.
SELECT kind, text, user, payload FROM publication
WHERE account = ?1 AND seq IS NOT NULL AND message_id = ?2 ORDER BY seq DESC LIMIT 1;

-- sent_message --
-- The command that sent the message ?2, or sent it as a part of a long text.
SELECT command_id, command FROM command WHERE account = ?1 AND message_id = ?2
UNION ALL
SELECT command_id, command FROM command
WHERE account = ?1 AND part_ids <> ' ' AND instr(part_ids, ' ' || ?2 || ' ') LIMIT 1;
