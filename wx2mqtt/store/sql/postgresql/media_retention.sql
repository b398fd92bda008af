-- total_bytes --
SELECT coalesce(sum(size), 0) FROM (
    SELECT max(size) AS size FROM media WHERE account = ? AND state = 'ready' GROUP BY sha256
) AS files;

-- mark_gone --
UPDATE media SET state = 'gone', why = ?2, sha256 = NULL, size = NULL, blob = NULL
WHERE id IN (SELECT jsonb_array_elements_text(?1::jsonb)) AND state = 'ready';

-- used --
SELECT value FROM jsonb_array_elements_text(?1::jsonb) AS asked (value)
WHERE EXISTS (SELECT 1 FROM media WHERE media.sha256 = asked.value)
    OR EXISTS (SELECT 1 FROM command WHERE command.sha256 = asked.value AND status IS NULL);

-- delete_finished --
DELETE FROM media
WHERE id IN (SELECT jsonb_array_elements_text(?1::jsonb)) AND state NOT IN ('pending', 'ready');
