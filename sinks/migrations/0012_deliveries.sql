-- What was sent to webhooks and what was tried: a row a message, in its newest record. The version is the record's offset.
-- An attempt without an answer has the code 0.

CREATE TABLE IF NOT EXISTS delivery_rows
(
    webhook_id String,
    day Date32,
    created_at DateTime64(3, 'UTC'),
    delivery_id String,
    account_id Nullable(String),
    event LowCardinality(String),
    payload String,
    status LowCardinality(String),
    tries Int32,
    next_at Nullable(DateTime64(3, 'UTC')),
    finished_at Nullable(DateTime64(3, 'UTC')),
    reason String,
    attempt_times Array(DateTime64(3, 'UTC')),
    attempt_durations Array(Int64),
    attempt_codes Array(Int32),
    attempt_errors Array(String),
    revision Int64,
    log_partition Int32,
    log_offset Int64,
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(day)
ORDER BY (webhook_id, day, created_at, delivery_id);

CREATE VIEW IF NOT EXISTS deliveries AS
SELECT webhook_id, created_at, delivery_id, account_id, event, payload, status, tries, next_at, finished_at, reason,
    attempt_times, attempt_durations, attempt_codes, attempt_errors, log_partition, log_offset
FROM delivery_rows FINAL;
