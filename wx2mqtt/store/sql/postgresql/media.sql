-- of_messages --
SELECT media.* FROM jsonb_array_elements_text(?2::jsonb) WITH ORDINALITY AS wanted (value, position)
JOIN media ON media.account = ?1 AND media.message_id = wanted.value AND media.message_id <> ''
ORDER BY wanted.position, part DESC;

-- request --
UPDATE media SET
    due = CASE WHEN state = 'pending' THEN least(coalesce(due, ?3), ?3) ELSE ?3 END,
    tries = CASE WHEN state = 'pending' THEN tries ELSE 0 END,
    empty = CASE WHEN state = 'pending' THEN empty ELSE 0 END,
    state = 'pending'
WHERE account = ?1 AND id = ?2 AND state IN ('pending', 'failed');

-- unschedule --
UPDATE media SET due = NULL
WHERE account = ?1 AND state = 'pending' AND due > 0 AND id NOT IN (SELECT jsonb_array_elements_text(?2::jsonb));
