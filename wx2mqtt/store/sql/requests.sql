-- known --
-- The answer to the same request with the same packet id; NULL while there is none.
SELECT answer FROM deed WHERE account = ? AND session = ? AND mid = ? AND topic = ? AND digest = ?;

-- start --
INSERT OR REPLACE INTO deed (account, session, mid, topic, digest, created) VALUES (?, ?, ?, ?, ?, ?);

-- finish --
UPDATE deed SET answer = ?6 WHERE account = ?1 AND session = ?2 AND mid = ?3 AND topic = ?4 AND digest = ?5;
