-- The newest rows of balances stand in current_rows, beside the newest of grants, holds and settings: what counts of an
-- account now is in one table. Of a balance the id is its credit type and table, the status is the table, and the
-- credit type is the only one. latest_balance_rows is a view of them.

-- Where a crash came between dropping the table and making the view.
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

INSERT INTO current_rows (account_id, ends, kind, id, status, credit_types, amounts, balance_after, reason, at, source_partition, source_offset, position, version)
SELECT account_id, toDateTime64('2299-12-31 23:59:59.999', 3, 'UTC'), 'balance', concat(toString(credit_type), ' ', toString(origin)), toString(origin),
    [toString(credit_type)], emptyArrayInt64(), balance_after, '', at, source_partition, source_offset, position, version
FROM latest_balance_rows;

DROP TABLE IF EXISTS latest_balance_rows;

CREATE VIEW IF NOT EXISTS latest_balance_rows AS
SELECT account_id, CAST(credit_types[1] AS LowCardinality(String)) AS credit_type, status AS origin, balance_after, at, source_partition, source_offset,
    position, version
FROM current_rows WHERE kind = 'balance';
