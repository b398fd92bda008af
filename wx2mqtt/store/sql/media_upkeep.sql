-- before --
-- What was fetched before ?2, the oldest first.
SELECT id, sha256, blob FROM media WHERE account = ?1 AND state = 'ready' AND fetched < ?2 ORDER BY fetched LIMIT ?3;

-- oldest --
-- What was fetched first in one account, but for what a command has still to send.
SELECT id, sha256, blob FROM media
WHERE account = ?1 AND state = 'ready'
    AND NOT EXISTS (SELECT 1 FROM command WHERE command.sha256 = media.sha256 AND status IS NULL)
ORDER BY fetched LIMIT ?2;

-- oldest_of_all --
-- The same in the whole store.
SELECT id, sha256, blob FROM media
WHERE state = 'ready'
    AND NOT EXISTS (SELECT 1 FROM command WHERE command.sha256 = media.sha256 AND status IS NULL)
ORDER BY fetched LIMIT ?1;

-- total --
-- What the files of one account hold; several rows may refer to one file.
SELECT coalesce(sum(size), 0) FROM (
    SELECT max(size) AS size FROM media WHERE account = ? AND state = 'ready' GROUP BY sha256
);

-- take_away --
UPDATE media SET state = 'gone', why = ?2, sha256 = NULL, size = NULL, blob = NULL
WHERE id IN (SELECT value FROM json_each(?1)) AND state = 'ready';

-- needed --
-- Which of these files somebody needs: rows of media, and commands that were not sent yet.
SELECT value FROM json_each(?1) AS asked
WHERE EXISTS (SELECT 1 FROM media WHERE media.sha256 = asked.value)
    OR EXISTS (SELECT 1 FROM command WHERE command.sha256 = asked.value AND status IS NULL);

-- page --
-- The next rows behind the id ?2, and whether nobody can ask for them any more: there are no bytes and will be none,
-- and the message went from the history.
SELECT id, state NOT IN ('pending', 'ready') AND created < ?3 AND NOT EXISTS (
    SELECT 1 FROM publication WHERE publication.account = media.account AND publication.seq = media.seq
) FROM media WHERE account = ?1 AND id > ?2 ORDER BY id LIMIT ?4;

-- forget --
DELETE FROM media WHERE id IN (SELECT value FROM json_each(?1)) AND state NOT IN ('pending', 'ready');
