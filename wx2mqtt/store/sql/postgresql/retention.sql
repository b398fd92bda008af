-- delete_keys --
DELETE FROM seen WHERE ctid IN (SELECT ctid FROM seen WHERE account = ? AND created < ? LIMIT ?);

-- remove_keys --
DELETE FROM seen WHERE ctid IN (SELECT ctid FROM seen WHERE account = ? LIMIT ?);
