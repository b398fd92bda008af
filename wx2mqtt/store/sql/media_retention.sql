-- downloaded_before --
-- Files that were downloaded before ?2, the oldest first.
SELECT id, sha256, blob FROM media WHERE account = ?1 AND state = 'ready' AND fetched < ?2 ORDER BY fetched LIMIT ?3;

-- oldest_of_account --
-- Files of one account, the oldest first, without those that a command has still to send.
SELECT id, sha256, blob FROM media
WHERE account = ?1 AND state = 'ready'
    AND NOT EXISTS (SELECT 1 FROM command WHERE command.sha256 = media.sha256 AND status IS NULL)
ORDER BY fetched LIMIT ?2;

-- oldest --
-- The same for the whole store.
SELECT id, sha256, blob FROM media
WHERE state = 'ready'
    AND NOT EXISTS (SELECT 1 FROM command WHERE command.sha256 = media.sha256 AND status IS NULL)
ORDER BY fetched LIMIT ?1;

-- total_bytes --
-- The size of all files of one account; several rows may share a file.
SELECT coalesce(sum(size), 0) FROM (
    SELECT max(size) AS size FROM media WHERE account = ? AND state = 'ready' GROUP BY sha256
) AS subquery;

-- mark_gone --
UPDATE media SET state = 'gone', why = ?2, sha256 = NULL, size = NULL, blob = NULL
WHERE id IN (SELECT value FROM json_each(?1)) AND state = 'ready';

-- used --
-- Which of these files are used: by rows of media, and by commands that wait.
SELECT value FROM json_each(?1)
WHERE EXISTS (SELECT 1 FROM media WHERE media.sha256 = value)
    OR EXISTS (SELECT 1 FROM command WHERE command.sha256 = value AND status IS NULL);

-- finished_page --
-- The next rows after the id ?2, and whether each is finished: it has no file, will get none, and its message has been
-- pruned from the history.
SELECT id, state NOT IN ('pending', 'ready') AND created < ?3 AND NOT EXISTS (
    SELECT 1 FROM publication WHERE publication.account = media.account AND publication.seq = media.seq
) FROM media WHERE account = ?1 AND id > ?2 ORDER BY id LIMIT ?4;

-- delete_finished --
DELETE FROM media WHERE id IN (SELECT value FROM json_each(?1)) AND state NOT IN ('pending', 'ready');
