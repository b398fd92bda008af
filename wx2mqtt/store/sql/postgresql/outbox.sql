-- waiting --
SELECT id, topic, payload, sort, created, content_type, correlation, expiry, user
FROM publication AS row
WHERE account = ?1 AND state = 0 AND id > ?2 AND topic NOT IN (SELECT jsonb_array_elements_text(?3::jsonb))
    AND NOT EXISTS (
        SELECT 1 FROM publication AS held
        WHERE held.account = ?1 AND held.state = 4 AND held.topic = row.topic AND held.id < row.id
    )
ORDER BY id LIMIT ?4;

-- waiting_in_topic --
SELECT id, topic, payload, sort, created, content_type, correlation, expiry, user
FROM publication
WHERE account = ?1 AND state = 0 AND id > ?2 AND id <= ?3 AND topic = ?4
    AND id < coalesce((SELECT min(id) FROM publication WHERE account = ?1 AND state = 4 AND topic = ?4), ?3 + 1)
ORDER BY id LIMIT ?5;

-- mark_published --
UPDATE publication SET state = 1
WHERE id IN (SELECT jsonb_array_elements(?2::jsonb)::bigint) AND account = ?1 AND state <> 1;

-- delete_published --
DELETE FROM publication
WHERE id IN (SELECT jsonb_array_elements(?2::jsonb)::bigint) AND account = ?1 AND state = 1
    AND seq IS NULL AND key IS NULL AND private IS NULL;

-- created_times --
SELECT id, created FROM publication
WHERE account = ?1 AND id IN (SELECT jsonb_array_elements(?2::jsonb)::bigint);

-- set_aside --
UPDATE publication SET state = 2, why = ?3
WHERE id IN (SELECT jsonb_array_elements(?2::jsonb)::bigint) AND account = ?1 AND state = 0;

-- requeue --
UPDATE publication SET state = 0, why = NULL
WHERE id IN (SELECT jsonb_array_elements(?2::jsonb)::bigint) AND account = ?1 AND state = 2;

-- drop_expired --
UPDATE publication SET state = 3, why = 'expired'
WHERE id IN (SELECT jsonb_array_elements(?2::jsonb)::bigint) AND account = ?1 AND state = 0;
