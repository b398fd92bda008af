-- persons --
-- The next persons behind the number ?2. The columns are the fields of `Person`, in their order.
SELECT id, level, kind, handle, login_id, matched_by, pin, trusted, permanent_id, alias, remark, nickname,
       avatar, profile, members, closed, removed, stranger, wrote, created, seen
FROM person WHERE account = ?1 AND id > ?2 ORDER BY id LIMIT ?3;

-- levels --
-- Whose each level is or was.
SELECT level, person FROM level WHERE account = ?;

-- accounts --
-- Accounts that ever had people.
SELECT name FROM account WHERE next_person > 1 ORDER BY name;

-- next_id --
-- A number that no person of this account ever had.
SELECT next_person FROM account WHERE name = ? AND next_person > 1;

-- put_person --
-- A person as they are now; REPLACE, since all columns are given.
INSERT OR REPLACE INTO person
    (account, id, level, kind, handle, login_id, matched_by, pin, trusted, permanent_id, alias, remark, nickname,
     avatar, profile, members, closed, removed, stranger, wrote, created, seen)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- put_level --
-- A level is given, or moves when the owner joins two persons.
INSERT OR REPLACE INTO level (account, level, person) VALUES (?, ?, ?);

-- put_own_level --
-- What a person is called is theirs, unless it is somebody's already (`two_owners` tells).
INSERT OR IGNORE INTO level (account, level, person) VALUES (?, ?, ?);

-- free_levels --
-- The levels of somebody who is forgotten and never wrote: no automation knows them.
DELETE FROM level WHERE account = ?1 AND person = ?2
    AND EXISTS (SELECT 1 FROM person WHERE account = ?1 AND id = ?2 AND NOT wrote);

-- forget --
-- A newcomer of an earlier login who never came back.
DELETE FROM person WHERE account = ? AND id = ?;

-- count --
-- Remember the highest number that was given.
INSERT INTO account (name, next_person) VALUES (?1, ?2)
ON CONFLICT (name) DO UPDATE SET next_person = max(next_person, excluded.next_person);

-- two_owners --
-- Somebody whose level belongs to another, among the levels that were touched.
SELECT person.id, level.person
FROM person JOIN level ON level.account = person.account AND level.level = person.level
WHERE person.account = ?1 AND person.level IN (SELECT value FROM json_each(?2)) AND level.person <> person.id
LIMIT 1;
