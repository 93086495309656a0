-- Balances: what the last output says, less what has lapsed since without a command to say so.

-- The balance after the last output, by account and credit type. Equal rows inserted twice do not change a greatest one,
-- so that no FINAL is needed. Within one message: a request batch only lowers balances (charges and grants that end), so
-- the lowest is the last; a refund comes after the grants that ended before it; the rest is one topic's own order.
CREATE VIEW IF NOT EXISTS last_balances AS
SELECT account_id, type AS credit_type, argMax(amount, (at_offset, step, -amount)) AS balance_after, max(at_offset) AS source_offset
FROM
(
    SELECT account_id, assumeNotNull(credit_type) AS type, 0 AS step, max(source_offset) AS at_offset,
        argMax(assumeNotNull(balance_after), (source_offset, position)) AS amount
    FROM billed_rows WHERE isNotNull(credit_type) GROUP BY account_id, type
    UNION ALL
    SELECT account_id, toString(credit_type) AS type, 0 AS step, max(source_offset) AS at_offset,
        argMax(balance_after, (source_offset, position)) AS amount
    FROM grant_rows GROUP BY account_id, type
    UNION ALL
    SELECT account_id, assumeNotNull(credit_type) AS type, 1 AS step, max(source_offset) AS at_offset,
        argMax(assumeNotNull(balance_after), (source_offset, position)) AS amount
    FROM refund_rows WHERE isNotNull(credit_type) GROUP BY account_id, type
)
GROUP BY account_id, credit_type;

-- Grants that are over by the clock while nothing has been heard of their account since. What the grant itself left open
-- is its credits less the debt that it filled on arrival. (Here and below rows are brought together by UNION ALL and
-- GROUP BY and not by JOIN, so that a filter on account_id reaches the tables.)
CREATE VIEW IF NOT EXISTS lapsing_grants AS
SELECT account_id, ended.1 AS credit_type, ended.2 AS grant_id, ended.3 AS expires_at, ended.4 AS opened
FROM
(
    SELECT account_id, groupArrayIf((type, id, ends, left_open), is_grant) AS all_ended, max(heard_at) AS last_heard
    FROM
    (
        SELECT account_id, any(toString(credit_type)) AS type, grant_id AS id, any(assumeNotNull(expires_at)) AS ends,
            any(credits - greatest(0, least(credits, credits - balance_after))) AS left_open,
            max(changed_at) AS heard_at, toUInt8(1) AS is_grant
        FROM grant_rows
        WHERE isNotNull(expires_at) AND assumeNotNull(expires_at) <= now64(3)
        GROUP BY account_id, id
        HAVING max(status = 'expired') = 0
        UNION ALL
        SELECT account_id, '' AS type, '' AS id, max(changed_at) AS ends, toInt64(0) AS left_open,
            max(changed_at) AS heard_at, toUInt8(0) AS is_grant
        FROM grant_rows GROUP BY account_id
        UNION ALL
        SELECT account_id, '' AS type, '' AS id, max(occurred_at) AS ends, toInt64(0) AS left_open,
            max(occurred_at) AS heard_at, toUInt8(0) AS is_grant
        FROM billed_rows GROUP BY account_id
        UNION ALL
        SELECT account_id, '' AS type, '' AS id, max(requested_at) AS ends, toInt64(0) AS left_open,
            max(requested_at) AS heard_at, toUInt8(0) AS is_grant
        FROM refund_rows GROUP BY account_id
    )
    GROUP BY account_id
)
ARRAY JOIN all_ended AS ended
WHERE expires_at > last_heard;

-- What is drawn from each grant of those accounts, less what refunds gave back to it. A refund fills debt first; the rest
-- goes back to the line's grants, last used first, and its last credits are those forfeited, because a line uses grants in
-- the order in which they end. Lines and their refunds are matched in source order: an event_id may be accepted anew.
CREATE VIEW IF NOT EXISTS lapsing_draws AS
SELECT account_id, grant_id,
    sum(took - arraySum(arrayMap((s, e) -> greatest(0, least(reach, e) - greatest(reach - took, s)), starts, stops))) AS drawn
FROM
(
    SELECT account_id, ids, taken, arrayCumSum(taken) AS reaches, arraySum(taken) AS total,
        arrayMap(r -> r.2, backs) AS amounts, arrayCumSum(amounts) AS sums,
        arrayMap((c, a) -> least(c - a, total), sums, amounts) AS starts,
        arrayMap((c, r) -> least(c, total) - r.3, sums, backs) AS stops
    FROM
    (
        SELECT account_id, arrayReverse(charge.2) AS ids, arrayReverse(charge.3) AS taken,
            arrayFilter(r -> r.1 > charge.1 AND r.1 < next_offset, returns) AS backs
        FROM
        (
            SELECT account_id, event_id, line_number,
                arraySort(x -> x.1, groupArrayIf((offset_, ids_, taken_), is_charge)) AS charges,
                arrayPushBack(arrayPopFront(arrayMap(x -> x.1, charges)), toInt64(9223372036854775807)) AS next_offsets,
                arraySort(x -> x.1, groupArrayIf((offset_, amount, lost), is_charge = 0)) AS returns
            FROM
            (
                SELECT account_id, event_id, line AS line_number, source_offset AS offset_, grant_ids AS ids_,
                    grant_credits AS taken_, toInt64(0) AS amount, toInt64(0) AS lost, toUInt8(1) AS is_charge
                FROM billed_rows FINAL
                WHERE account_id IN (SELECT account_id FROM lapsing_grants) AND decision = 'charged'
                UNION ALL
                SELECT account_id, event_id, assumeNotNull(line) AS line_number, source_offset AS offset_,
                    emptyArrayString() AS ids_, emptyArrayInt64() AS taken_,
                    credits - greatest(0, least(credits, credits - forfeited - assumeNotNull(balance_after))) AS amount,
                    forfeited AS lost, toUInt8(0) AS is_charge
                FROM refund_rows FINAL
                WHERE account_id IN (SELECT account_id FROM lapsing_grants) AND isNotNull(line)
            )
            GROUP BY account_id, event_id, line_number
        )
        ARRAY JOIN charges AS charge, next_offsets AS next_offset
    )
)
ARRAY JOIN ids AS grant_id, taken AS took, reaches AS reach
GROUP BY account_id, grant_id;

-- Credits that are gone by the clock and that no output has said to be expired yet.
CREATE VIEW IF NOT EXISTS lapsed_grants AS
SELECT account_id, anyIf(type, is_lapsing) AS credit_type, grant_id, max(ends) AS expires_at, sum(amount) AS credits
FROM
(
    SELECT account_id, grant_id, credit_type AS type, expires_at AS ends, opened AS amount, toUInt8(1) AS is_lapsing
    FROM lapsing_grants
    UNION ALL
    SELECT account_id, grant_id, '' AS type, toDateTime64('2000-01-01 00:00:00', 3, 'UTC') AS ends, -drawn AS amount,
        toUInt8(0) AS is_lapsing
    FROM lapsing_draws
)
GROUP BY account_id, grant_id
HAVING max(is_lapsing) = 1 AND credits > 0;

CREATE VIEW IF NOT EXISTS balances AS
SELECT account_id, credit_type, sum(amount) - sum(gone) AS balance, sum(gone) AS lapsed, sum(amount) AS balance_after,
    max(at_offset) AS source_offset
FROM
(
    SELECT account_id, credit_type, balance_after AS amount, toInt64(0) AS gone, source_offset AS at_offset
    FROM last_balances
    UNION ALL
    SELECT account_id, credit_type, toInt64(0) AS amount, credits AS gone, toInt64(-1) AS at_offset
    FROM lapsed_grants
)
GROUP BY account_id, credit_type;
