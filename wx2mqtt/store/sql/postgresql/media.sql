-- of_messages --
SELECT media.* FROM jsonb_array_elements_text(?2::jsonb) WITH ORDINALITY AS wanted (value, position)
JOIN media ON media.account = ?1 AND media.message_id = wanted.value AND media.message_id <> ''
ORDER BY wanted.position, part DESC;
