-- Which messages of WeChat's the parts of a long text are, but for the last one: an answer may name any of them.

ALTER TABLE command ADD COLUMN part_ids TEXT NOT NULL DEFAULT ' ';      -- with a space around each

CREATE INDEX command_parts ON command (account) WHERE part_ids <> ' ';
