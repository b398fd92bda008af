-- newest_created --
SELECT greatest(
    (SELECT created FROM publication ORDER BY id DESC LIMIT 1),
    (SELECT accepted FROM command ORDER BY id DESC LIMIT 1)
);

-- keep_keys --
INSERT INTO seen (account, key, created)
SELECT account, key, created FROM publication
WHERE id IN (SELECT jsonb_array_elements(?2::jsonb)::bigint) AND account = ?1 AND key IS NOT NULL;

-- delete_publications --
DELETE FROM publication WHERE id IN (SELECT jsonb_array_elements(?2::jsonb)::bigint) AND account = ?1;

-- delete_keys --
DELETE FROM seen WHERE ctid IN (SELECT ctid FROM seen WHERE account = ? AND created < ? LIMIT ?);

-- remove_keys --
DELETE FROM seen WHERE ctid IN (SELECT ctid FROM seen WHERE account = ? LIMIT ?);
