ALTER TABLE command ADD COLUMN fallback_of text COLLATE "C" NOT NULL DEFAULT '';
CREATE INDEX command_fallback ON command (account, settled, status) WHERE fallback_of <> '' AND status IS NOT NULL;
