-- persons --
-- The next persons after the id ?2. The columns are the fields of `Person`, in their order.
SELECT id, level, kind, handle, login_id, matched_by, pin, trusted, permanent_id, alias, remark, nickname,
       avatar, profile, members, closed, removed, stranger, wrote, created, seen
FROM person WHERE account = ?1 AND id > ?2 ORDER BY id LIMIT ?3;

-- levels --
-- Every level and the person who has or had it.
SELECT level, person FROM level WHERE account = ?;

-- accounts --
-- Accounts that ever had people.
SELECT name FROM account WHERE next_person > 1 ORDER BY name;

-- next_id --
-- An id that no person of this account ever had.
SELECT next_person FROM account WHERE name = ? AND next_person > 1;

-- put_person --
INSERT INTO person
    (account, id, level, kind, handle, login_id, matched_by, pin, trusted, permanent_id, alias, remark, nickname,
     avatar, profile, members, closed, removed, stranger, wrote, created, seen)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (account, id) DO UPDATE SET
    (level, kind, handle, login_id, matched_by, pin, trusted, permanent_id, alias, remark, nickname,
     avatar, profile, members, closed, removed, stranger, wrote, created, seen)
    = (excluded.level, excluded.kind, excluded.handle, excluded.login_id, excluded.matched_by, excluded.pin,
       excluded.trusted, excluded.permanent_id, excluded.alias, excluded.remark, excluded.nickname,
       excluded.avatar, excluded.profile, excluded.members, excluded.closed, excluded.removed,
       excluded.stranger, excluded.wrote, excluded.created, excluded.seen);

-- put_level --
-- Gives a level to a person, or moves it when the owner joins two persons.
INSERT INTO level (account, level, person) VALUES (?, ?, ?)
ON CONFLICT (account, level) DO UPDATE SET person = excluded.person;

-- put_own_level --
-- Gives a person their current level, unless another person has it (`level_conflict` finds that).
INSERT OR IGNORE INTO level (account, level, person) VALUES (?, ?, ?);

-- delete_levels --
-- Deletes the levels of a removed person who never wrote: no automation can know them.
DELETE FROM level WHERE account = ?1 AND person = ?2
    AND EXISTS (SELECT 1 FROM person WHERE account = ?1 AND id = ?2 AND wrote = 0);

-- delete_person --
DELETE FROM person WHERE account = ? AND id = ?;

-- forget_persons --
-- Deletes everybody: another bot of WeCom has other people, whatever their ids.
DELETE FROM person WHERE account = ?;

-- forget_levels --
DELETE FROM level WHERE account = ?;

-- raise_next_id --
-- Stores the highest id that was given plus one.
INSERT INTO account (name, next_person) VALUES (?1, ?2)
ON CONFLICT (name) DO UPDATE SET next_person = excluded.next_person
WHERE account.next_person < excluded.next_person;

-- level_conflict --
-- A person whose level belongs to another person, among the levels that have just changed.
SELECT person.id, level.person
FROM person JOIN level ON level.account = person.account AND level.level = person.level
WHERE person.account = ?1 AND person.level IN (SELECT value FROM json_each(?2)) AND level.person <> person.id
LIMIT 1;
