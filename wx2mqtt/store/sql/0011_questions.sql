-- Questions: texts with buttons, from the begin of their first attempt on. Without `closed` and before `until` one is open.
CREATE TABLE question (
    id INTEGER PRIMARY KEY AUTOINCREMENT,     -- in the order of asking
    account TEXT NOT NULL,
    command INTEGER NOT NULL,                 -- the id of the command's row
    command_id TEXT NOT NULL,
    user TEXT NOT NULL,                       -- whom the command names
    person INTEGER NOT NULL,
    card TEXT NOT NULL,                       -- names its cards
    text TEXT NOT NULL,
    buttons TEXT NOT NULL,                    -- JSON: text and key of each
    anyone INTEGER NOT NULL,                  -- not only trusted people may answer
    lasts INTEGER NOT NULL,                   -- milliseconds from the end of the attempt on
    asked INTEGER NOT NULL,                   -- by WeChat's clock
    until INTEGER,                            -- unknown until the attempt has ended
    closed INTEGER,
    answer TEXT NOT NULL DEFAULT ''           -- the key of the button; empty without an answer
);
CREATE UNIQUE INDEX question_command ON question (account, command);
CREATE INDEX question_person ON question (account, person, id);
CREATE INDEX question_card ON question (account, card);
