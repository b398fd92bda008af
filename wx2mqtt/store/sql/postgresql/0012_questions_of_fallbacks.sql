ALTER TABLE question ADD COLUMN asker text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE question ADD COLUMN asker_command bigint NOT NULL DEFAULT 0;
ALTER TABLE question ADD COLUMN asker_command_id text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE question ADD COLUMN asker_user text COLLATE "C" NOT NULL DEFAULT '';
UPDATE question SET asker = account, asker_command = command, asker_command_id = command_id, asker_user = "user";
CREATE INDEX question_asker ON question (asker, asker_command);
