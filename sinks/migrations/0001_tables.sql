-- The base tables. Every row's key, day and partition follow from the output alone and never change; the version is the
-- source offset; so a row inserted twice counts once. Read them through the views of the next migration.

CREATE TABLE IF NOT EXISTS billed_rows
(
    account_id String,
    day Date32,
    event_id String,
    line Int32,
    occurred_at DateTime64(3, 'UTC'),
    endpoint LowCardinality(String),
    channel LowCardinality(String),
    outcome LowCardinality(String),
    request_id Nullable(String),
    actor Nullable(String),
    user_id Nullable(String),
    ip Nullable(String),
    domain Nullable(String),
    plan LowCardinality(Nullable(String)),
    quantity_names Array(LowCardinality(String)),
    quantity_values Array(Int64),
    attribute_names Array(LowCardinality(String)),
    attribute_values Array(String),
    decision LowCardinality(String),
    charge LowCardinality(Nullable(String)),
    feature LowCardinality(Nullable(String)),
    action LowCardinality(Nullable(String)),
    credit_type LowCardinality(Nullable(String)),
    price_version LowCardinality(Nullable(String)),
    units Int64,
    unit_credits Int64,
    credits Int64,
    owner_event_id Nullable(String),
    window_ends_at Nullable(DateTime64(3, 'UTC')),
    balance_after Nullable(Int64),
    grant_ids Array(String),
    grant_credits Array(Int64),
    source_partition Int32,
    source_offset Int64,
    position UInt64,
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(day)
ORDER BY (account_id, day, event_id, line, occurred_at);

CREATE TABLE IF NOT EXISTS refund_rows
(
    account_id String,
    day Date32,
    refund_id String,
    event_id String,
    line Nullable(Int32),
    charge LowCardinality(Nullable(String)),
    status LowCardinality(String),
    reject_reason LowCardinality(Nullable(String)),
    credits Int64,
    forfeited Int64,
    credit_type LowCardinality(Nullable(String)),
    remaining_charge Nullable(Int64),
    balance_after Nullable(Int64),
    reason String,
    requested_at DateTime64(3, 'UTC'),
    source_partition Int32,
    source_offset Int64,
    position UInt64,
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(day)
ORDER BY (account_id, day, refund_id, ifNull(line, -1));

CREATE TABLE IF NOT EXISTS grant_rows
(
    account_id String,
    day Date32,
    grant_id String,
    credit_type LowCardinality(String),
    status LowCardinality(String),
    credits Int64,
    expires_at Nullable(DateTime64(3, 'UTC')),
    balance_after Int64,
    reason String,
    changed_at DateTime64(3, 'UTC'),
    source_partition Int32,
    source_offset Int64,
    position UInt64,
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(day)
ORDER BY (account_id, day, grant_id, credit_type, status);

CREATE TABLE IF NOT EXISTS dead_letter_rows
(
    day Date32,
    recorded_at DateTime64(3, 'UTC'),
    reason LowCardinality(String),
    field LowCardinality(Nullable(String)),
    detail String,
    command LowCardinality(Nullable(String)),
    account_id Nullable(String),
    id Nullable(String),
    `index` Nullable(Int32),
    producer LowCardinality(Nullable(String)),
    size Int32,
    original String,
    source_partition Int32,
    source_offset Int64,
    position UInt64,
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(day)
ORDER BY (day, source_partition, source_offset, position);

CREATE TABLE IF NOT EXISTS alert_rows
(
    account_id String,
    day Date32,
    kind LowCardinality(String),
    credit_type LowCardinality(String),
    mark Nullable(Int64),
    balance Int64,
    at DateTime64(3, 'UTC'),
    source_partition Int32,
    source_offset Int64,
    position UInt64,
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(day)
ORDER BY (account_id, day, source_partition, source_offset, position);
