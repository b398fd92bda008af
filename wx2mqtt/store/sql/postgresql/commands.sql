-- new_ids --
SELECT nextval(pg_get_serial_sequence('command', 'id')) FROM generate_series(1, ?1);

-- due --
-- A recipient is a number or a text. The text of a command may have a NUL, which no text of PostgreSQL has.
SELECT * FROM command
WHERE account = ?1 AND status IS NULL
    AND coalesce(to_jsonb(person), to_jsonb(replace(command, '\u0000', '\ufffd')::json ->> 'user'))
        NOT IN (SELECT jsonb_array_elements(?2::jsonb))
ORDER BY id LIMIT ?3;

-- last_for --
SELECT accepted FROM command
WHERE account = ?1
    AND coalesce(to_jsonb(person), to_jsonb(replace(command, '\u0000', '\ufffd')::json ->> 'user'))
        IN (to_jsonb(?2::bigint), to_jsonb(?3::text))
    AND substr(command_id, 1, 8) <> 'wx2mqtt-'
ORDER BY id DESC LIMIT 1;

-- urgent --
SELECT * FROM command
WHERE account = ? AND status IS NULL AND replace(command, '\u0000', '\ufffd')::json ->> 'urgent' = 'true'
ORDER BY id;

-- count_waiting_of --
SELECT count(*) FROM command
WHERE account = ?1 AND status IS NULL AND replace(command, '\u0000', '\ufffd')::json ->> 'sender' = ?2;

-- with_content --
SELECT * FROM command
WHERE account = ?1 AND accepted > ?2 AND id > (SELECT max(id) FROM command) - 20000
    AND replace(command, '\u0000', '\ufffd')::json ->> 'content' = ?4
    AND replace(command, '\u0000', '\ufffd')::json ->> 'sender' = ?3
ORDER BY id DESC;

-- failing_users --
SELECT user, failed FROM (
    SELECT replace(command, '\u0000', '\ufffd')::json ->> 'user' AS user,
        max(settled) FILTER (WHERE status <> 'sent') AS failed
    FROM command
    WHERE account = ?1 AND status IS NOT NULL AND settled > ?2 AND substr(command_id, 1, 8) <> 'wx2mqtt-'
        AND fallback_of = ''
    GROUP BY 1
    HAVING max(settled) FILTER (WHERE status <> 'sent')
        >= coalesce(max(settled) FILTER (WHERE status = 'sent'), 0)
    ORDER BY failed DESC LIMIT ?3
) AS failing ORDER BY failed;
