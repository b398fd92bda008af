-- count --
INSERT INTO mark (account, mark) VALUES (?, ?)
ON CONFLICT (account, mark) DO UPDATE SET kills = mark.kills + 1, counted = now();

-- forget --
-- All but the newest marks.
DELETE FROM mark WHERE account = ?1 AND mark NOT IN
    (SELECT mark FROM mark WHERE account = ?1 ORDER BY counted DESC LIMIT ?2);

-- fatal --
SELECT mark FROM mark WHERE account = ? AND kills >= ? ORDER BY counted;
