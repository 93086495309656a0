-- The newest row of each grant and hold of an account, and of its settings, beside the newest balances. In this order they
-- stand together, and of the holds those that are not over behind those that are; no months, whose parts would all have
-- to be looked at. The version is source_offset * 2^20 + part. By kind: grant and hold have their own ids, statuses and
-- amounts; of settings the status is on_empty, the amounts are alert marks, and the reason is the update_id.

CREATE TABLE IF NOT EXISTS current_rows
(
    account_id String,
    ends DateTime64(3, 'UTC'),
    kind LowCardinality(String),
    id String,
    status LowCardinality(String),
    credit_types Array(LowCardinality(String)),
    amounts Array(Int64),
    charged_types Array(LowCardinality(String)),
    charged_amounts Array(Int64),
    balance_after Int64,
    plan LowCardinality(Nullable(String)),
    plan_started_at Nullable(DateTime64(3, 'UTC')),
    plan_ends_at Nullable(DateTime64(3, 'UTC')),
    reason String,
    at DateTime64(3, 'UTC'),
    source_partition Int32,
    source_offset Int64,
    position UInt64,
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (account_id, kind, ends, id)
SETTINGS index_granularity = 512;

-- What was loaded before. The same again changes nothing: the version decides.
INSERT INTO current_rows (account_id, ends, kind, id, status, credit_types, amounts, balance_after, reason, at, source_partition, source_offset, position, version)
SELECT account_id, coalesce(expires_at, toDateTime64('2299-12-31 23:59:59.999', 3, 'UTC')), 'grant', grant_id, status, [credit_type], [credits],
    balance_after, reason, changed_at, source_partition, source_offset, position,
    toUInt64(source_offset) * 1048576 + bitShiftRight(position, 32)
FROM grant_rows;

INSERT INTO current_rows (account_id, ends, kind, id, status, credit_types, amounts, charged_types, charged_amounts, balance_after, reason, at, source_partition, source_offset, position, version)
SELECT account_id, expires_at, 'hold', hold_id, last.1, last.2, last.3, last.4, last.5, 0, last.6, last.7, last.8, last.9,
    last.10, toUInt64(last.9) * 1048576 + bitShiftRight(last.10, 32)
FROM
(
    SELECT account_id, expires_at, hold_id,
        argMax(
            (status, credit_types, credit_amounts, charged_types, charged_amounts, reason, at, source_partition, source_offset, position),
            (source_offset, position)
        ) AS last
    FROM hold_rows GROUP BY account_id, expires_at, hold_id
);

INSERT INTO current_rows (account_id, ends, kind, id, status, credit_types, amounts, balance_after, plan, plan_started_at, plan_ends_at, reason, at, source_partition, source_offset, position, version)
SELECT account_id, toDateTime64('2299-12-31 23:59:59.999', 3, 'UTC'), 'settings', '', on_empty, mark_types, mark_amounts, 0,
    plan, plan_started_at, plan_ends_at, update_id, at, source_partition, source_offset, position,
    toUInt64(source_offset) * 1048576 + bitShiftRight(position, 32)
FROM account_rows;
