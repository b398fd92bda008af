-- Why a command waits for a chance to be sent, how much of a long text is out, what became of its other way.

ALTER TABLE command ADD COLUMN held TEXT NOT NULL DEFAULT '';           -- why the window was shut; empty: never held
ALTER TABLE command ADD COLUMN parts_sent INTEGER NOT NULL DEFAULT 0;   -- of a text that is sent in parts
ALTER TABLE command ADD COLUMN fallback TEXT NOT NULL DEFAULT '';       -- begun, sent, failed, uncertain; empty: not needed
