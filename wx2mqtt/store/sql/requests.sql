-- known --
-- The answer to the same request with the same packet id; NULL while there is none.
SELECT answer FROM deed WHERE account = ? AND session = ? AND mid = ? AND topic = ? AND digest = ?;

-- start --
INSERT INTO deed (account, session, mid, topic, digest, created) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (account, session, mid) DO UPDATE SET
    topic = excluded.topic, digest = excluded.digest, created = excluded.created, answer = NULL;


-- finish --
UPDATE deed SET answer = ?6 WHERE account = ?1 AND session = ?2 AND mid = ?3 AND topic = ?4 AND digest = ?5;
