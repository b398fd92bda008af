-- Questions that go along with a fallback: each account that sends one has a row, and all belong to one command.
ALTER TABLE question ADD COLUMN asker TEXT NOT NULL DEFAULT '';             -- the account of that command
ALTER TABLE question ADD COLUMN asker_command INTEGER NOT NULL DEFAULT 0;   -- the id of its row
ALTER TABLE question ADD COLUMN asker_command_id TEXT NOT NULL DEFAULT '';
ALTER TABLE question ADD COLUMN asker_user TEXT NOT NULL DEFAULT '';        -- whom it names
UPDATE question SET asker = account, asker_command = command, asker_command_id = command_id, asker_user = user;
CREATE INDEX question_asker ON question (asker, asker_command);
