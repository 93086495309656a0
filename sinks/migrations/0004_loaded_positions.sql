-- How far the tables are: by topic and partition of the log, the last record whose rows are in them, and its digest. It is
-- written behind the rows; so the loader goes on from here, and a store that was emptied or restored loads itself again.

CREATE TABLE IF NOT EXISTS loaded_positions
(
    topic String,
    log_partition Int32,
    log_offset Int64,
    digest String,
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (topic, log_partition);
