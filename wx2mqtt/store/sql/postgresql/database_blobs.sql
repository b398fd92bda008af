-- total_bytes --
SELECT coalesce(sum(size), 0)::bigint FROM media_file;

-- is_stored --
SELECT 1 FROM media_file WHERE sha256 = ? AND size = ?;

-- piece --
SELECT content FROM media_piece WHERE sha256 = ? AND number = ?;

-- old_paths --
SELECT path FROM media_file WHERE stored <= now() - make_interval(secs => ?);

-- renew --
-- A file that is stored already counts as new.
UPDATE media_file SET stored = now() WHERE sha256 = ?;

-- put_piece --
INSERT INTO media_piece (sha256, number, content) VALUES (?, ?, ?)
ON CONFLICT (sha256, number) DO UPDATE SET content = excluded.content, stored = now();

-- put_file --
INSERT INTO media_file (sha256, path, size) VALUES (?, ?, ?) ON CONFLICT DO NOTHING;

-- delete_old_file --
DELETE FROM media_file WHERE sha256 = ? AND stored <= now() - make_interval(secs => ?) RETURNING size;

-- delete_pieces --
DELETE FROM media_piece WHERE sha256 = ?;

-- delete_lost_pieces --
DELETE FROM media_piece WHERE stored <= now() - make_interval(secs => ?)
AND NOT EXISTS (SELECT 1 FROM media_file WHERE media_file.sha256 = media_piece.sha256);
