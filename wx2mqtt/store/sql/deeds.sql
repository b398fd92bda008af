-- known --
-- The same request with the same packet id, and its answer.
SELECT answer FROM deed WHERE account = ? AND session = ? AND mid = ? AND topic = ? AND digest = ?;

-- begin --
INSERT OR REPLACE INTO deed (account, session, mid, topic, digest, created) VALUES (?, ?, ?, ?, ?, ?);

-- end --
UPDATE deed SET answer = ?6 WHERE account = ?1 AND session = ?2 AND mid = ?3 AND topic = ?4 AND digest = ?5;
