-- What was loaded before there were latest rows, brought into them. The same again changes nothing: the version decides.

INSERT INTO latest_balance_rows (account_id, credit_type, origin, balance_after, at, source_partition, source_offset, position, version)
SELECT account_id, type, 'billed_rows', last.1, last.2, last.3, last.4, last.5,
    toUInt64(last.4) * 1048576 + bitShiftRight(last.5, 32)
FROM
(
    SELECT account_id, toString(assumeNotNull(credit_type)) AS type,
        argMax((assumeNotNull(balance_after), occurred_at, source_partition, source_offset, position), (source_offset, position)) AS last
    FROM billed_rows WHERE isNotNull(credit_type) GROUP BY account_id, type
);

INSERT INTO latest_balance_rows (account_id, credit_type, origin, balance_after, at, source_partition, source_offset, position, version)
SELECT account_id, type, 'grant_rows', last.1, last.2, last.3, last.4, last.5,
    toUInt64(last.4) * 1048576 + bitShiftRight(last.5, 32)
FROM
(
    SELECT account_id, toString(credit_type) AS type,
        argMax((balance_after, changed_at, source_partition, source_offset, position), (source_offset, position)) AS last
    FROM grant_rows GROUP BY account_id, type
);

INSERT INTO latest_balance_rows (account_id, credit_type, origin, balance_after, at, source_partition, source_offset, position, version)
SELECT account_id, type, 'refund_rows', last.1, last.2, last.3, last.4, last.5,
    toUInt64(last.4) * 1048576 + bitShiftRight(last.5, 32)
FROM
(
    SELECT account_id, toString(assumeNotNull(credit_type)) AS type,
        argMax((assumeNotNull(balance_after), requested_at, source_partition, source_offset, position), (source_offset, position)) AS last
    FROM refund_rows WHERE isNotNull(credit_type) GROUP BY account_id, type
);
