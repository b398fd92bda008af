-- start --
INSERT INTO deed (account, session, mid, topic, digest, created) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (account, session, mid) DO UPDATE SET
    topic = excluded.topic, digest = excluded.digest, created = excluded.created, answer = NULL;
