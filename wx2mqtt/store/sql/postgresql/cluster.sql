-- lock --
SELECT pg_try_advisory_lock(?1::int, ?2::int);

-- unlock --
SELECT pg_advisory_unlock(?1::int, ?2::int);

-- register --
INSERT INTO instance
    (name, pid, url, version, max_accounts, configuration, settings, lock_key, draining, keys)
VALUES (?1, pg_backend_pid(), ?2, ?3, ?4, ?5, ?6::text::jsonb, ?7, ?8, ?9)
ON CONFLICT (name) DO UPDATE SET
    pid = excluded.pid, url = excluded.url, version = excluded.version, max_accounts = excluded.max_accounts,
    configuration = excluded.configuration, settings = excluded.settings, draining = excluded.draining,
    keys = excluded.keys, started = excluded.started, heartbeat = excluded.heartbeat,
    server_started = excluded.server_started;

-- beat --
UPDATE instance SET heartbeat = clock_timestamp() WHERE name = ?1 AND pid = pg_backend_pid();

-- set_draining --
UPDATE instance SET draining = ?2 WHERE name = ?1;

-- drain --
INSERT INTO drained (instance) VALUES (?1) ON CONFLICT DO NOTHING;

-- end_drain --
DELETE FROM drained WHERE instance = ?1;

-- is_drained --
SELECT EXISTS (SELECT 1 FROM drained WHERE instance = ?1);

-- leave --
DELETE FROM instance WHERE name = ?1 AND pid = pg_backend_pid();

-- forget --
-- The row of an instance that has been gone for long.
DELETE FROM instance WHERE name = ?1 AND pid = ?2 AND heartbeat = ?3::timestamptz;

-- previous_owner --
SELECT instance, released IS NOT NULL FROM ownership WHERE account = ?1;

-- take --
INSERT INTO ownership (account, instance) VALUES (?1, ?2)
ON CONFLICT (account) DO UPDATE SET
    instance = excluded.instance, since = excluded.since, released = NULL;

-- release --
UPDATE ownership SET released = clock_timestamp() WHERE account = ?1 AND instance = ?2;

-- notify --
SELECT pg_notify(?1, ?2);

-- snapshot --
WITH held AS MATERIALIZED (
    SELECT classid::bigint AS space, objid::bigint AS key, pid FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 2 AND granted AND classid::bigint IN (?1, ?2)
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
)
SELECT
    (SELECT coalesce(json_agg(json_build_array(key, pid)), '[]') FROM held WHERE space = ?1),
    (SELECT coalesce(json_agg(json_build_object(
        'name', name, 'pid', pid, 'heartbeat', heartbeat::text,
        'has_session', (?2::bigint, lock_key, pid) IN (SELECT space, key, held.pid FROM held),
        'age', extract(epoch FROM clock_timestamp() - heartbeat),
        'is_of_this_server', server_started = pg_postmaster_start_time(),
        'version', version, 'url', url, 'max_accounts', max_accounts, 'is_draining', draining <> 0,
        'configuration', configuration) ORDER BY name), '[]') FROM instance);

-- end_session --
SELECT pg_terminate_backend(pid) FROM instance
WHERE name = ?1 AND pid = ?2 AND heartbeat = ?3::timestamptz AND server_started = pg_postmaster_start_time()
AND (pid, lock_key) IN
    (SELECT pid, objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND classid::bigint = ?4);

-- differences --
-- Digests of different keys of saved logins cannot be compared.
SELECT key FROM jsonb_each_text((SELECT settings FROM instance WHERE name = ?1)) AS own (key, mine)
FULL JOIN jsonb_each_text((SELECT settings FROM instance WHERE name = ?2)) AS other (key, theirs) USING (key)
WHERE mine IS DISTINCT FROM theirs AND split_part((SELECT keys FROM instance WHERE name = ?1), ' ', 1)
    = split_part((SELECT keys FROM instance WHERE name = ?2), ' ', 1)
ORDER BY key LIMIT 100;

-- instances_without_key --
SELECT name FROM instance WHERE ?1 <> ALL (string_to_array(keys, ' ')) AND (
    clock_timestamp() - heartbeat < make_interval(secs => ?2) OR (pid, lock_key) IN
        (SELECT pid, objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND classid::bigint = ?3))
ORDER BY name;
