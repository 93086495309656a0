-- Beside how far each topic is loaded: the last input message all of whose outputs of that topic are in the tables. It is
-- the instant that a reader's answer is of. -1 where an earlier version wrote the position.

ALTER TABLE loaded_positions ADD COLUMN IF NOT EXISTS source_offset Int64 DEFAULT -1 AFTER digest;
