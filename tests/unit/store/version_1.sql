-- A store as version 0001 of the schema left it: messages, an event, commands, a person.
BEGIN TRANSACTION;
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
INSERT INTO "account" VALUES('home','wx',3,'login','c1',2,0,2);
INSERT INTO "account" VALUES('work',NULL,0,'login2','c2',1,0,1);
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
INSERT INTO "command" VALUES(1,'home','w','print of 你好',7,'17956000000001234',1000,600000,0,0,0,0,NULL,NULL,NULL,1,4,'wx/out/wife',X'61','[{"topic":"wx/result/wife","correlation":null,"shape":"result","name":"","transaction":null}]',NULL,'{"user":"wife","kind":"text","id":"w","text":"你好","path":"","url":"","data":"","name":"","message_id":"","mention":["bob"],"ttl":null,"hold":true,"priority":"normal","urgent":false,"also_wechat":false}');
INSERT INTO "command" VALUES(2,'home','o','print of 你好',7,'17956000000001234',1000,600000,1,0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'[{"topic":"wx/result/wife","correlation":null,"shape":"result","name":"","transaction":null}]',NULL,'{"user":"wife","kind":"text","id":"o","text":"你好","path":"","url":"","data":"","name":"","message_id":"","mention":["bob"],"ttl":null,"hold":true,"priority":"normal","urgent":false,"also_wechat":false}');
INSERT INTO "command" VALUES(3,'home','s','print of 你好',7,'17956000000001234',1000,600000,0,0,0,0,1795600000000,'sent','77',NULL,NULL,NULL,NULL,'[{"topic":"wx/result/wife","correlation":null,"shape":"result","name":"","transaction":null}]','{"id":"s","user":"wife","status":"sent","code":"ok","message":"","message_id":"77","time":2000,"retry_after":null,"duplicate_possible":false}','{"user":"wife","kind":"text","id":"s","text":"你好","path":"","url":"","data":"","name":"","message_id":"","mention":["bob"],"ttl":null,"hold":true,"priority":"normal","urgent":false,"also_wechat":false}');
INSERT INTO "command" VALUES(4,'home','r','print of 你好',7,'17956000000001234',1000,600000,0,0,0,0,1795600000000,'rejected',NULL,NULL,NULL,NULL,NULL,'[{"topic":"wx/result/wife","correlation":null,"shape":"result","name":"","transaction":null}]','{"id":"r","user":"wife","status":"rejected","code":"ok","message":"","message_id":null,"time":2000,"retry_after":null,"duplicate_possible":false}','{"user":"wife","kind":"text","id":"r","text":"你好","path":"","url":"","data":"","name":"","message_id":"","mention":["bob"],"ttl":null,"hold":true,"priority":"normal","urgent":false,"also_wechat":false}');
CREATE TABLE level (
    account TEXT NOT NULL,
    level TEXT NOT NULL,
    person INTEGER NOT NULL,
    PRIMARY KEY (account, level)
) WITHOUT ROWID;
INSERT INTO "level" VALUES('home','wife',1);
CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO "meta" VALUES('stream','yizn55');
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
INSERT INTO "person" VALUES('home',1,'wife','friend','@1','login','remark','',0,'','','','','','{}',X'',0,0,0,0,0,0);
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
INSERT INTO "publication" VALUES(1,'home',1,'message','wx/in/wife',1795600000000,'wife','application/json',NULL,NULL,'a',1,'id-a','text',1795600000000,'wife',NULL,NULL,'开灯 ☀',X'7B22736368656D61223A312C2273747265616D223A2279697A6E3535222C22736571223A312C226964223A2269642D61222C2275736572223A2277696665222C2274657874223A22E5BC80E781AF20E29880227D');
INSERT INTO "publication" VALUES(2,'home',2,'event','wx/event/recall',1795600000000,'wife','application/json',NULL,NULL,'e',NULL,NULL,'recall',1,NULL,'{"ticket":"geheim"}','too large',NULL,X'7B22736368656D61223A312C226576656E74223A22726563616C6C222C226964223A2265227D');
INSERT INTO "publication" VALUES(3,'home',0,'message','wx/in/mom',1795600000000,'mom','application/json',NULL,NULL,'b',2,'id-b','text',1795600000000,'mom',NULL,NULL,'二',X'7B22736368656D61223A312C2273747265616D223A2279697A6E3535222C22736571223A322C226964223A2269642D62222C2275736572223A226D6F6D222C2274657874223A22E4BA8C227D');
INSERT INTO "publication" VALUES(4,'work',0,'message','wx/in/wife',1795600000000,'wife','application/json',NULL,NULL,'a',1,'id-a','text',1795600000000,'wife',NULL,NULL,'开灯 ☀',X'7B22736368656D61223A312C2273747265616D223A2279697A6E3535222C22736571223A312C226964223A2269642D61222C2275736572223A2277696665222C2274657874223A22E5BC80E781AF20E29880227D');
INSERT INTO "publication" VALUES(5,'home',0,'result','wx/result/wife',1795600000000,'','application/json',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,X'7B226964223A2261227D');
INSERT INTO "publication" VALUES(6,'home',0,'result','wx/result/wife',1795600000000,'','application/json',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,X'7B226964223A2273227D');
CREATE TABLE seen (
    account TEXT NOT NULL,
    key TEXT NOT NULL,
    created INTEGER NOT NULL,
    PRIMARY KEY (account, key)
) WITHOUT ROWID;
CREATE INDEX publication_waiting ON publication (account, id, topic) WHERE state = 0;
CREATE INDEX publication_aside ON publication (account, id) WHERE state = 2;
CREATE UNIQUE INDEX publication_key ON publication (account, key) WHERE key IS NOT NULL;
CREATE UNIQUE INDEX publication_seq ON publication (account, seq) WHERE seq IS NOT NULL;
CREATE INDEX publication_history ON publication (account, user, seq) WHERE seq IS NOT NULL;
CREATE INDEX publication_passing ON publication (account, created) WHERE seq IS NULL;
CREATE UNIQUE INDEX command_known ON command (account, command_id);
CREATE INDEX command_waiting ON command (account, id, person) WHERE status IS NULL;
CREATE INDEX command_sent ON command (account, message_id) WHERE message_id IS NOT NULL;
CREATE INDEX command_delivery ON command (account, session, digest) WHERE session IS NOT NULL;
CREATE INDEX command_settled ON command (account, settled, status) WHERE status IS NOT NULL;
CREATE INDEX person_level ON person (account, level);
CREATE INDEX level_person ON level (account, person);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('publication',6);
INSERT INTO "sqlite_sequence" VALUES('command',4);
COMMIT;
