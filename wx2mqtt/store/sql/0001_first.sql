-- The first schema. Times are milliseconds since 1970; every table but `meta` holds several accounts.

CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE account (
    name TEXT PRIMARY KEY,
    base_topic TEXT,
    session INTEGER NOT NULL DEFAULT 0,       -- the broker's, as the bridge counts it
    login_id TEXT NOT NULL DEFAULT '',
    cursor TEXT,
    seq INTEGER NOT NULL DEFAULT 0,           -- of the newest message; never falls
    dropped INTEGER NOT NULL DEFAULT 0,       -- publications given up, ever
    next_person INTEGER NOT NULL DEFAULT 1    -- a person's number is never given again
) WITHOUT ROWID;

-- Everything for the broker, in the order of publishing. Messages have a seq and are kept as history.
CREATE TABLE publication (
    id INTEGER PRIMARY KEY AUTOINCREMENT,     -- never given again: the pump remembers how far it is
    account TEXT NOT NULL,
    state INTEGER NOT NULL DEFAULT 0,         -- 0 waiting, 1 published, 2 set aside, 3 dropped
    sort TEXT NOT NULL,                       -- message, event, result, response
    topic TEXT NOT NULL,
    created INTEGER NOT NULL,
    user TEXT NOT NULL DEFAULT '',
    content_type TEXT NOT NULL DEFAULT '',
    correlation BLOB,
    expiry INTEGER,                           -- seconds
    key TEXT,                                 -- of what WeChat handed over, to know it again
    seq INTEGER,
    message_id TEXT,
    kind TEXT,
    time INTEGER,
    sender TEXT,
    private TEXT,                             -- what the backend needs later; never published
    why TEXT,                                 -- of state 2 and 3
    text TEXT,
    payload BLOB NOT NULL
);
CREATE INDEX publication_waiting ON publication (account, id, topic) WHERE state = 0;
CREATE INDEX publication_aside ON publication (account, id) WHERE state = 2;
CREATE UNIQUE INDEX publication_key ON publication (account, key) WHERE key IS NOT NULL;
CREATE UNIQUE INDEX publication_seq ON publication (account, seq) WHERE seq IS NOT NULL;
CREATE INDEX publication_history ON publication (account, user, seq) WHERE seq IS NOT NULL;
CREATE INDEX publication_passing ON publication (account, created) WHERE seq IS NULL;

-- Keys that outlive their publication, since WeChat may hand over the same again.
CREATE TABLE seen (
    account TEXT NOT NULL,
    key TEXT NOT NULL,
    created INTEGER NOT NULL,
    PRIMARY KEY (account, key)
) WITHOUT ROWID;

-- Everything for WeChat, in the order of accepting. Settled is what has a status.
CREATE TABLE command (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account TEXT NOT NULL,
    command_id TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    person INTEGER,
    key TEXT NOT NULL,
    accepted INTEGER NOT NULL,
    expires INTEGER,
    open INTEGER NOT NULL DEFAULT 0,          -- an attempt was begun and its end is not known
    unknown INTEGER NOT NULL DEFAULT 0,       -- attempts that nobody answered
    attempts INTEGER NOT NULL DEFAULT 0,
    duplicate_possible INTEGER NOT NULL DEFAULT 0,
    settled INTEGER,
    status TEXT,
    message_id TEXT,
    session INTEGER,                          -- how the broker delivered it, to know it again
    mid INTEGER,
    topic TEXT,
    digest BLOB,
    replies TEXT NOT NULL,
    result TEXT,
    command TEXT NOT NULL
);
CREATE UNIQUE INDEX command_known ON command (account, command_id);
CREATE INDEX command_waiting ON command (account, id, person) WHERE status IS NULL;
CREATE INDEX command_sent ON command (account, message_id) WHERE message_id IS NOT NULL;
CREATE INDEX command_delivery ON command (account, session, digest) WHERE session IS NOT NULL;
CREATE INDEX command_settled ON command (account, settled, status) WHERE status IS NOT NULL;

CREATE TABLE person (
    account TEXT NOT NULL,
    id INTEGER NOT NULL,
    level TEXT NOT NULL,
    kind TEXT NOT NULL,
    handle TEXT,
    login_id TEXT NOT NULL,
    matched_by TEXT NOT NULL,
    pin TEXT NOT NULL,
    trusted INTEGER NOT NULL,
    permanent_id TEXT NOT NULL,
    alias TEXT NOT NULL,
    remark TEXT NOT NULL,
    nickname TEXT NOT NULL,
    avatar TEXT NOT NULL,
    profile TEXT NOT NULL,
    members BLOB NOT NULL,
    closed INTEGER NOT NULL,
    removed INTEGER NOT NULL,
    stranger INTEGER NOT NULL,
    wrote INTEGER NOT NULL,
    created INTEGER NOT NULL,
    seen INTEGER NOT NULL,
    PRIMARY KEY (account, id)
) WITHOUT ROWID;
CREATE INDEX person_level ON person (account, level);

-- Every topic level that was ever given, and whose it is. It may outlive its person.
CREATE TABLE level (
    account TEXT NOT NULL,
    level TEXT NOT NULL,
    person INTEGER NOT NULL,
    PRIMARY KEY (account, level)
) WITHOUT ROWID;
CREATE INDEX level_person ON level (account, person);
