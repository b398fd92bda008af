-- open --
-- Opens a question with its first attempt. Of a further attempt it stays as it is. One that another account has sent for
-- the same command may be answered already: then nobody can answer this one.
INSERT INTO question
    (account, command, command_id, user, person, card, text, buttons, anyone, lasts, asked,
     asker, asker_command, asker_command_id, asker_user, closed, answer)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15,
    (SELECT max(closed) FROM question WHERE asker = ?12 AND asker_command = ?13),
    coalesce((SELECT max(answer) FROM question WHERE asker = ?12 AND asker_command = ?13), ''))
ON CONFLICT (account, command) DO NOTHING;

-- take_back --
-- The attempt certainly did not arrive: nothing was asked, unless an earlier attempt is in doubt.
DELETE FROM question
WHERE account = ?1 AND command = ?2 AND closed IS NULL
    AND command IN (SELECT id FROM command WHERE id = ?2 AND unknown = 0);

-- discard --
-- The command ended, and no attempt can have arrived.
DELETE FROM question WHERE account = ?1 AND command = ?2 AND closed IS NULL;

-- start_time --
-- The last attempt ended at ?3: from now on the time for an answer runs.
UPDATE question SET until = ?3 + lasts WHERE account = ?1 AND command = ?2;

-- give_up --
-- The questions of an owner who is the owner no more, also those that other accounts have sent.
DELETE FROM question WHERE account = ?1 OR asker = ?1;

-- exists --
SELECT 1 FROM question WHERE account = ? LIMIT 1;

-- newest_of_person --
-- The question that a person or group was asked last, open or not.
SELECT * FROM question WHERE account = ? AND person = ? ORDER BY id DESC LIMIT 1;

-- of_person --
-- The newest questions of a person or group.
SELECT * FROM question WHERE account = ?1 AND person = ?2 ORDER BY id DESC LIMIT ?3;

-- by_command_id --
SELECT * FROM question WHERE account = ?1 AND command_id = ?2 ORDER BY id DESC LIMIT 1;

-- by_card --
SELECT * FROM question WHERE account = ? AND card = ?;

-- answer --
-- Answers the question of a command, whichever accounts have sent it.
UPDATE question SET closed = ?3, answer = ?4 WHERE asker = ?1 AND asker_command = ?2 AND closed IS NULL;

-- of_asker --
-- The question of a command; where several accounts have sent it, the one that is answered, else the newest.
SELECT * FROM question WHERE asker = ?1 AND asker_command_id = ?2 ORDER BY asker_command DESC, answer DESC, id DESC LIMIT 1;

-- close --
-- Also one whose time is over: of a message the time may have whole seconds only, and then be a little earlier.
UPDATE question SET closed = ?3 WHERE asker = ?1 AND asker_command_id = ?2 AND closed IS NULL;

-- list_open --
-- Where several accounts have sent a question, the first of them that is open.
SELECT * FROM question WHERE id IN (
    SELECT min(id) FROM question
    WHERE asker = ?1 AND closed IS NULL AND (until IS NULL OR until > ?2) GROUP BY asker_command
)
ORDER BY id DESC LIMIT ?3;

-- base_topic --
SELECT base_topic FROM account WHERE name = ?;

-- proven_commands --
-- Commands without a result whose message has arrived, since its question was answered.
SELECT command FROM question
WHERE account = ? AND answer <> '' AND command IN (SELECT id FROM command WHERE status IS NULL);
