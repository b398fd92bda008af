-- edges --
-- The oldest and the newest message that are kept.
SELECT
    (SELECT min(seq) FROM publication WHERE account = ?1 AND seq IS NOT NULL),
    (SELECT max(seq) FROM publication WHERE account = ?1 AND seq IS NOT NULL);

-- first --
-- Messages from seq ?2 to ?3, the oldest first; an empty kind or text means all.
SELECT seq, message_id, payload FROM publication
WHERE account = ?1 AND seq IS NOT NULL AND seq BETWEEN ?2 AND ?3
    AND (?4 = '' OR kind = ?4) AND (?5 = '' OR instr(lower(text), ?5))
ORDER BY seq LIMIT ?6;

-- newest --
SELECT seq, message_id, payload FROM publication
WHERE account = ?1 AND seq IS NOT NULL AND seq BETWEEN ?2 AND ?3
    AND (?4 = '' OR kind = ?4) AND (?5 = '' OR instr(lower(text), ?5))
ORDER BY seq DESC LIMIT ?6;

-- first_of --
-- Messages of the chat ?7.
SELECT seq, message_id, payload FROM publication
WHERE account = ?1 AND user = ?7 AND seq IS NOT NULL AND seq BETWEEN ?2 AND ?3
    AND (?4 = '' OR kind = ?4) AND (?5 = '' OR instr(lower(text), ?5))
ORDER BY seq LIMIT ?6;

-- newest_of --
SELECT seq, message_id, payload FROM publication
WHERE account = ?1 AND user = ?7 AND seq IS NOT NULL AND seq BETWEEN ?2 AND ?3
    AND (?4 = '' OR kind = ?4) AND (?5 = '' OR instr(lower(text), ?5))
ORDER BY seq DESC LIMIT ?6;

-- said --
-- What was said in the message that WeChat calls ?2; read from the newest on, since what is answered is mostly new.
SELECT kind, text, user FROM publication
WHERE account = ?1 AND seq IS NOT NULL AND message_id = ?2 ORDER BY seq DESC LIMIT 1;

-- said_by_us --
SELECT command_id, command FROM command WHERE account = ?1 AND message_id = ?2
UNION ALL
SELECT command_id, command FROM command
WHERE account = ?1 AND part_ids <> ' ' AND instr(part_ids, ' ' || ?2 || ' ') LIMIT 1;
