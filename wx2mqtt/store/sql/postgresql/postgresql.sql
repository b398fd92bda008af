-- other_sessions --
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid NOT IN (?, ?)
AND application_name = current_setting('application_name');

-- allocated_bytes --
SELECT sum(pg_total_relation_size(name)) FROM unnest('{publication,command,person,media,seen}'::regclass[]) AS name;

-- used_bytes --
-- Without the space of deleted rows, about. ?1 is what a row needs beside its long columns.
SELECT (SELECT coalesce(sum(octet_length(payload) + coalesce(octet_length(text), 0)), 0) + count(*) * ?1 FROM publication)
    + (SELECT coalesce(sum(octet_length(command) + octet_length(replies)), 0) + count(*) * ?1 FROM command)
    + (SELECT count(*) * ?1 FROM person) + (SELECT count(*) * ?1 FROM media) + (SELECT count(*) * ?1 FROM seen);
