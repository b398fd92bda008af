-- Bytes of messages and commands, and requests that change something at WeChat.
-- A publication may be in a fifth state: 4 held until its bytes are there (media.inline_below).

CREATE INDEX publication_held ON publication (account, topic, id) WHERE state = 4;

CREATE TABLE media (
    id TEXT PRIMARY KEY,                      -- the level in /media/<id>
    account TEXT NOT NULL,
    part TEXT NOT NULL,                       -- whole, thumbnail, avatar
    kind TEXT NOT NULL,
    message_id TEXT NOT NULL,                 -- empty for an avatar
    seq INTEGER,                              -- of the message; the row may outlive it
    user TEXT NOT NULL,
    ref TEXT NOT NULL,                        -- where the backend finds them; never published
    state TEXT NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    empty INTEGER NOT NULL DEFAULT 0,         -- tries in a row that brought nothing
    due INTEGER,
    created INTEGER NOT NULL,
    why TEXT NOT NULL DEFAULT '',
    fetched INTEGER,
    sha256 TEXT,
    size INTEGER,
    blob TEXT
) WITHOUT ROWID;
CREATE INDEX media_due ON media (account, due, part DESC, seq) WHERE state = 'pending' AND due IS NOT NULL;
CREATE INDEX media_message ON media (account, message_id) WHERE message_id <> '';
CREATE INDEX media_avatar ON media (account, user, created) WHERE part = 'avatar';
CREATE INDEX media_account ON media (account, id);
CREATE INDEX media_fetched ON media (fetched) WHERE state = 'ready';
CREATE INDEX media_fetched_here ON media (account, fetched) WHERE state = 'ready';
CREATE INDEX media_kept ON media (account, sha256, size) WHERE state = 'ready';
CREATE INDEX media_blob ON media (sha256) WHERE sha256 IS NOT NULL;

ALTER TABLE command ADD COLUMN sha256 TEXT;
ALTER TABLE command ADD COLUMN blob TEXT;
CREATE INDEX command_blob ON command (sha256) WHERE sha256 IS NOT NULL AND status IS NULL;

-- An attempt is marked before its request is written; the answer stays, for a broker that delivers again. Of one
-- packet id there is only the newest: that it was given again proves that the broker had our acknowledgement.
CREATE TABLE deed (
    account TEXT NOT NULL,
    session INTEGER NOT NULL,
    mid INTEGER NOT NULL,
    topic TEXT NOT NULL,
    digest BLOB NOT NULL,
    created INTEGER NOT NULL,
    answer TEXT,
    PRIMARY KEY (account, session, mid)
) WITHOUT ROWID;
CREATE INDEX deed_created ON deed (account, created);
