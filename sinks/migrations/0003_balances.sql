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
-- is its credits less the debt that it filled on arrival.
CREATE VIEW IF NOT EXISTS lapsing_grants AS
SELECT account_id, credit_type, grant_id, expires_at, opened
FROM
(
    SELECT account_id, any(type) AS credit_type, grant_id, any(ends) AS expires_at, any(left_open) AS opened,
        max(is_expired) AS expired
    FROM
    (
        SELECT account_id, credit_type AS type, grant_id, assumeNotNull(expires_at) AS ends, status = 'expired' AS is_expired,
            credits - greatest(0, least(credits, credits - balance_after)) AS left_open
        FROM grant_rows
        WHERE isNotNull(expires_at) AND assumeNotNull(expires_at) <= now64(3)
    )
    GROUP BY account_id, grant_id
    HAVING expired = 0
) AS ended
ANY LEFT JOIN
(
    SELECT account_id, max(heard_at) AS last_heard
    FROM
    (
        SELECT account_id, max(occurred_at) AS heard_at FROM billed_rows GROUP BY account_id
        UNION ALL
        SELECT account_id, max(requested_at) AS heard_at FROM refund_rows GROUP BY account_id
        UNION ALL
        SELECT account_id, max(changed_at) AS heard_at FROM grant_rows GROUP BY account_id
    )
    GROUP BY account_id
) AS heard
USING (account_id)
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
SELECT account_id, credit_type, grant_id, expires_at, opened - ifNull(drawn, 0) AS credits
FROM lapsing_grants ANY LEFT JOIN lapsing_draws USING (account_id, grant_id)
WHERE credits > 0;

CREATE VIEW IF NOT EXISTS balances AS
SELECT account_id, credit_type, balance_after - ifNull(gone, 0) AS balance, ifNull(gone, 0) AS lapsed, balance_after,
    source_offset
FROM last_balances
ANY LEFT JOIN
(
    SELECT account_id, credit_type, sum(credits) AS gone FROM lapsed_grants GROUP BY account_id, credit_type
) AS lapsed_sums
USING (account_id, credit_type);
