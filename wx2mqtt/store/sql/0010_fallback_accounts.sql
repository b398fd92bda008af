-- Commands that are the fallback of another account's command. They count in no figure of what was not sent: the index
-- finds them without reading the other rows.
ALTER TABLE command ADD COLUMN fallback_of TEXT NOT NULL DEFAULT '';  -- the other account; empty: a command of its own
CREATE INDEX command_fallback ON command (account, settled, status) WHERE fallback_of <> '' AND status IS NOT NULL;
