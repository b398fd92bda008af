-- set_stream --
INSERT INTO meta (name, value) VALUES ('stream', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- mark_unsettled_uncertain --
UPDATE command SET open = 0, unknown = greatest(unknown, 2), attempts = attempts + 1, duplicate_possible = 1
WHERE status IS NULL;
