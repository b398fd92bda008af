-- persons --
-- A negative limit is none.
SELECT id, level, kind, handle, login_id, matched_by, pin, trusted, permanent_id, alias, remark, nickname,
       avatar, profile, members, closed, removed, stranger, wrote, created, seen
FROM person WHERE account = ?1 AND id > ?2 ORDER BY id LIMIT nullif(?3, -1);

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
INSERT INTO level (account, level, person) VALUES (?, ?, ?)
ON CONFLICT (account, level) DO UPDATE SET person = excluded.person;

-- raise_next_id --
INSERT INTO account (name, next_person) VALUES (?1, ?2)
ON CONFLICT (name) DO UPDATE SET next_person = greatest(account.next_person, excluded.next_person);

-- level_conflict --
SELECT person.id, level.person
FROM person JOIN level ON level.account = person.account AND level.level = person.level
WHERE person.account = ?1 AND person.level IN (SELECT jsonb_array_elements_text(?2::jsonb))
    AND level.person <> person.id
LIMIT 1;
