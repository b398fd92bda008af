-- oldest --
SELECT seq, message_id, payload FROM publication
WHERE account = ?1 AND seq IS NOT NULL AND seq BETWEEN ?2 AND ?3
    AND (?4 = '' OR kind = ?4) AND (?5 = '' OR strpos(lower(text), ?5) > 0)
ORDER BY seq LIMIT ?6;

-- newest --
SELECT seq, message_id, payload FROM publication
WHERE account = ?1 AND seq IS NOT NULL AND seq BETWEEN ?2 AND ?3
    AND (?4 = '' OR kind = ?4) AND (?5 = '' OR strpos(lower(text), ?5) > 0)
ORDER BY seq DESC LIMIT ?6;

-- oldest_in_chat --
SELECT seq, message_id, payload FROM publication
WHERE account = ?1 AND user = ?7 AND seq IS NOT NULL AND seq BETWEEN ?2 AND ?3
    AND (?4 = '' OR kind = ?4) AND (?5 = '' OR strpos(lower(text), ?5) > 0)
ORDER BY seq LIMIT ?6;

-- newest_in_chat --
SELECT seq, message_id, payload FROM publication
WHERE account = ?1 AND user = ?7 AND seq IS NOT NULL AND seq BETWEEN ?2 AND ?3
    AND (?4 = '' OR kind = ?4) AND (?5 = '' OR strpos(lower(text), ?5) > 0)
ORDER BY seq DESC LIMIT ?6;

-- among --
SELECT seq, message_id, payload FROM publication
WHERE id IN (SELECT jsonb_array_elements(?6::jsonb)::bigint) AND account = ?1 AND seq BETWEEN ?2 AND ?3
    AND (?4 = '' OR kind = ?4) AND strpos(lower(text), ?5) > 0
    AND (?7 = '[]' OR user IN (SELECT jsonb_array_elements_text(?7::jsonb)))
ORDER BY seq;

-- seq_at --
SELECT seq FROM publication WHERE account = ?1 AND seq IS NOT NULL AND id <= ?2 ORDER BY seq DESC LIMIT 1;

-- sent_message --
SELECT command_id, command FROM (
    SELECT command_id, command FROM command WHERE account = ?1 AND message_id = ?2 ORDER BY bundle_position
) AS whole
UNION ALL
SELECT command_id, command FROM (
    SELECT command_id, command FROM command
    WHERE account = ?1 AND part_ids <> ' ' AND strpos(part_ids, ' ' || ?2 || ' ') > 0 LIMIT 1
) AS parts;
