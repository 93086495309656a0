-- Holds, account settings, the event's own time in refunds, and the newest row of every balance.

ALTER TABLE billed_rows ADD COLUMN IF NOT EXISTS hold_id Nullable(String) AFTER grant_credits;

ALTER TABLE refund_rows ADD COLUMN IF NOT EXISTS occurred_at Nullable(DateTime64(3, 'UTC')) AFTER requested_at;

-- Every change of every hold. A hold's expires_at never changes, and an open one lies in the future: in this order those
-- that are open stand beside each other, however many an account has had.
CREATE TABLE IF NOT EXISTS hold_rows
(
    account_id String,
    day Date32,
    hold_id String,
    status LowCardinality(String),
    credit_types Array(LowCardinality(String)),
    credit_amounts Array(Int64),
    charged_types Array(LowCardinality(String)),
    charged_amounts Array(Int64),
    available_types Array(LowCardinality(String)),
    available_amounts Array(Int64),
    event_id Nullable(String),
    reject_reason LowCardinality(Nullable(String)),
    expires_at DateTime64(3, 'UTC'),
    at DateTime64(3, 'UTC'),
    reason String,
    source_partition Int32,
    source_offset Int64,
    position UInt64,
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(day)
ORDER BY (account_id, expires_at, hold_id, source_offset, position);

CREATE TABLE IF NOT EXISTS account_rows
(
    account_id String,
    day Date32,
    update_id String,
    plan LowCardinality(Nullable(String)),
    plan_started_at Nullable(DateTime64(3, 'UTC')),
    plan_ends_at Nullable(DateTime64(3, 'UTC')),
    on_empty LowCardinality(String),
    mark_types Array(LowCardinality(String)),
    mark_amounts Array(Int64),
    at DateTime64(3, 'UTC'),
    source_partition Int32,
    source_offset Int64,
    position UInt64,
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(day)
ORDER BY (account_id, day, update_id);

-- The newest row of each balance in each of the topics that move it: a few rows an account, whatever its history. The
-- loader inserts them beside the rows that they repeat; the version is source_offset * 2^20 + part.
CREATE TABLE IF NOT EXISTS latest_balance_rows
(
    account_id String,
    credit_type LowCardinality(String),
    origin LowCardinality(String),
    balance_after Int64,
    at DateTime64(3, 'UTC'),
    source_partition Int32,
    source_offset Int64,
    position UInt64,
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (account_id, credit_type, origin);
