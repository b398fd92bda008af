-- Texts that go out in one message: which command leads the bundle, and where in its text this one stands.

ALTER TABLE command ADD COLUMN bundle INTEGER;                              -- the id of the leading command's row
ALTER TABLE command ADD COLUMN bundle_position INTEGER NOT NULL DEFAULT 0;  -- 0 is the leading one

CREATE INDEX command_bundle ON command (account, bundle) WHERE bundle IS NOT NULL;
