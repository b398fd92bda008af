-- known_keys --
SELECT key FROM publication WHERE account = ?1 AND key IN (SELECT jsonb_array_elements_text(?2::jsonb))
UNION ALL
SELECT key FROM seen WHERE account = ?1 AND key IN (SELECT jsonb_array_elements_text(?2::jsonb));
