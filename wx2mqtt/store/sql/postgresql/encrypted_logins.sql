-- read_key --
SELECT sealed FROM login_key;

-- hold_key --
-- Waits for a change of the key that is under way, and keeps another one away until the end of the commit.
SELECT sealed FROM login_key FOR SHARE;

-- hold_key_alone --
SELECT sealed FROM login_key FOR UPDATE;

-- add_key --
INSERT INTO login_key (sealed) VALUES (?) ON CONFLICT DO NOTHING;

-- set_key --
INSERT INTO login_key (sealed) VALUES (?) ON CONFLICT ("only") DO UPDATE SET sealed = excluded.sealed;

-- login --
SELECT sealed, (SELECT number FROM login_number WHERE login_number.account = login.account)
FROM login WHERE account = ?;

-- logins --
SELECT account, sealed, (SELECT number FROM login_number WHERE login_number.account = login.account)
FROM login ORDER BY account;

-- save_login --
INSERT INTO login (account, sealed) VALUES (?, ?)
ON CONFLICT (account) DO UPDATE SET sealed = excluded.sealed;

-- delete_logins --
DELETE FROM login;

-- delete_login --
DELETE FROM login WHERE account = ?;

-- delete_number --
DELETE FROM login_number WHERE account = ?;

-- new_number --
INSERT INTO login_number (account) VALUES (?) RETURNING number;

-- delete_marks --
DELETE FROM mark WHERE account = ?;
