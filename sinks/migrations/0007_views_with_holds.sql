-- The views with holds, settings, and balances read from their newest rows.

DROP VIEW IF EXISTS billed_events;

CREATE VIEW IF NOT EXISTS billed_events AS
SELECT
    event_id, line, account_id, day, occurred_at, endpoint, channel, outcome, request_id, actor, user_id, ip, domain, plan,
    mapFromArrays(quantity_names, quantity_values) AS quantities,
    mapFromArrays(attribute_names, attribute_values) AS attributes,
    decision, charge, feature, action, credit_type, price_version, units, unit_credits, credits, owner_event_id,
    window_ends_at, balance_after,
    arrayMap((g, c) -> (g, c), grant_ids, grant_credits) AS grants_used,
    hold_id, source_partition, source_offset, position
FROM billed_rows FINAL;

-- Each refunded line with who made its call and what for. The line is the last one of its event before the refund in the
-- log: an event_id may be accepted anew. Only lines of refunded events are brought together with them.
DROP VIEW IF EXISTS refunds;

CREATE VIEW IF NOT EXISTS refunds AS
SELECT
    refund.1 AS refund_id, account_id, refund.2 AS day, refund.3 AS requested_at, event_id, refund.4 AS line,
    refund.5 AS charge, refund.6 AS status, refund.7 AS reject_reason, refund.8 AS credits, refund.9 AS forfeited,
    refund.10 AS credit_type, refund.11 AS remaining_charge, refund.12 AS balance_after, refund.13 AS reason,
    refund.14 AS occurred_at, refunded.2 AS actor, refunded.3 AS feature, refunded.4 AS action, refunded.5 AS endpoint,
    refund.15 AS source_partition, refund.16 AS source_offset, refund.17 AS position
FROM
(
    SELECT account_id, event_id, refund, arrayFilter(x -> x.1 < refund.16, lines)[-1] AS refunded
    FROM
    (
        SELECT account_id, event_id,
            groupArrayIf(
                (
                    refund_id, day, requested_at, line_or_null, charge, status_, reject_reason_, credits, forfeited_,
                    credit_type, remaining_charge_, balance_after, reason_, occurred_at_, source_partition,
                    source_offset, position
                ),
                is_refund
            ) AS all_refunds,
            arraySort(x -> x.1, groupArrayIf((source_offset, actor_, feature_, action_, endpoint_), is_refund = 0)) AS lines
        FROM
        (
            SELECT account_id, event_id, coalesce(line, -1) AS line_number, refund_id, day, requested_at,
                line AS line_or_null, charge, toString(status) AS status_,
                CAST(reject_reason AS Nullable(String)) AS reject_reason_, credits, forfeited AS forfeited_, credit_type,
                remaining_charge AS remaining_charge_, balance_after, reason AS reason_, occurred_at AS occurred_at_,
                source_partition, source_offset, position, CAST(NULL AS Nullable(String)) AS actor_,
                CAST(NULL AS Nullable(String)) AS feature_, CAST(NULL AS Nullable(String)) AS action_,
                CAST(NULL AS Nullable(String)) AS endpoint_, toUInt8(1) AS is_refund
            FROM refund_rows FINAL
            UNION ALL
            SELECT account_id, event_id, line AS line_number, '' AS refund_id, day, occurred_at AS requested_at,
                toNullable(line) AS line_or_null, charge, '' AS status_,
                CAST(NULL AS Nullable(String)) AS reject_reason_, credits, toInt64(0) AS forfeited_, credit_type,
                CAST(NULL AS Nullable(Int64)) AS remaining_charge_, balance_after, '' AS reason_,
                toNullable(occurred_at) AS occurred_at_, source_partition, source_offset, position, actor AS actor_,
                CAST(feature AS Nullable(String)) AS feature_, CAST(action AS Nullable(String)) AS action_,
                toNullable(toString(endpoint)) AS endpoint_, toUInt8(0) AS is_refund
            FROM billed_rows
            WHERE (account_id, event_id) IN (SELECT account_id, event_id FROM refund_rows WHERE isNotNull(line))
        )
        GROUP BY account_id, event_id, line_number
    )
    ARRAY JOIN all_refunds AS refund
);

-- Every change of every hold.
CREATE VIEW IF NOT EXISTS hold_changes AS
SELECT
    hold_id, account_id, day, at, status,
    mapFromArrays(credit_types, credit_amounts) AS credits,
    mapFromArrays(charged_types, charged_amounts) AS charged,
    mapFromArrays(available_types, available_amounts) AS available_after,
    event_id, reject_reason, expires_at, reason, source_partition, source_offset, position
FROM hold_rows FINAL;

-- The last change of every hold, by which is_open says whether it still sets credits aside now, whether or not a command
-- has come since it expired. An id that is accepted anew is another hold, with another expires_at.
CREATE VIEW IF NOT EXISTS last_holds AS
SELECT account_id, hold_id, expires_at, held_at, last.1 AS status, last.2 AS credit_types, last.3 AS credit_amounts,
    last.4 AS charged_types, last.5 AS charged_amounts, last.6 AS event_id, last.7 AS reject_reason, last.8 AS changed_at,
    last.9 AS reason, last.10 AS source_partition, last.11 AS source_offset, last.12 AS position,
    last.1 IN ('held', 'drawn') AND expires_at > now64(3) AS is_open,
    arrayMap((type, asked) -> greatest(0, asked - charged_amounts[indexOf(charged_types, type)]) * is_open, credit_types, credit_amounts) AS set_aside
FROM
(
    SELECT account_id, hold_id, expires_at, argMin(at, (source_offset, position)) AS held_at,
        argMax(
            (status, credit_types, credit_amounts, charged_types, charged_amounts, event_id, reject_reason, at, reason,
            source_partition, source_offset, position),
            (source_offset, position)
        ) AS last
    FROM hold_rows GROUP BY account_id, expires_at, hold_id
);

CREATE VIEW IF NOT EXISTS holds AS
SELECT
    hold_id, account_id, held_at, status, is_open, expires_at, changed_at,
    mapFromArrays(credit_types, credit_amounts) AS credits,
    mapFromArrays(charged_types, charged_amounts) AS charged,
    mapFromArrays(credit_types, set_aside) AS held,
    event_id, reject_reason, reason, source_partition, source_offset, position
FROM last_holds;

-- What open holds set aside now.
CREATE VIEW IF NOT EXISTS held_credits AS
SELECT account_id, type AS credit_type, sum(amount) AS credits, max(source_offset) AS source_offset
FROM last_holds
ARRAY JOIN credit_types AS type, set_aside AS amount
WHERE expires_at > now64(3) AND is_open = 1
GROUP BY account_id, credit_type;

CREATE VIEW IF NOT EXISTS account_changes AS
SELECT
    update_id, account_id, day, at, plan, plan_started_at, plan_ends_at, on_empty,
    mapFromArrays(mark_types, mark_amounts) AS alert_below, source_partition, source_offset, position
FROM account_rows FINAL;

-- The settings in force; an account without an update is not there: no plan, allow, no marks.
CREATE VIEW IF NOT EXISTS accounts AS
SELECT account_id, last.1 AS plan, last.2 AS plan_started_at, last.3 AS plan_ends_at, last.4 AS on_empty,
    mapFromArrays(last.5, last.6) AS alert_below, last.7 AS update_id, last.8 AS changed_at,
    last.9 AS source_partition, last.10 AS source_offset
FROM
(
    SELECT account_id,
        argMax(
            (plan, plan_started_at, plan_ends_at, on_empty, mark_types, mark_amounts, update_id, at, source_partition,
            source_offset),
            (source_offset, position)
        ) AS last
    FROM account_rows GROUP BY account_id
);

-- The balance after the last output, by account and credit type, as before; from the newest row of each topic.
DROP VIEW IF EXISTS last_balances;

CREATE VIEW IF NOT EXISTS last_balances AS
SELECT account_id, type AS credit_type, argMax(amount, (at_offset, step, -amount)) AS balance_after, max(at_offset) AS source_offset
FROM
(
    SELECT account_id, toString(credit_type) AS type, toUInt8(origin = 'refund_rows') AS step, max(source_offset) AS at_offset,
        argMax(balance_after, version) AS amount
    FROM latest_balance_rows GROUP BY account_id, type, origin
)
GROUP BY account_id, credit_type;

-- As before; when an account was heard last comes from its newest rows. Where an older row has a later time, a grant may
-- be listed that was forfeited then; what was drawn from it and given back says that nothing of it is left.
DROP VIEW IF EXISTS lapsing_grants;

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
        SELECT account_id, '' AS type, '' AS id, max(at) AS ends, toInt64(0) AS left_open,
            max(at) AS heard_at, toUInt8(0) AS is_grant
        FROM latest_balance_rows GROUP BY account_id
    )
    GROUP BY account_id
)
ARRAY JOIN all_ended AS ended
WHERE expires_at > last_heard;

-- What is drawn from every grant, less what refunds gave back to it: ask for one account, or for few. A refund fills debt
-- first; the rest goes back to the line's grants, last used first, and its last credits are those forfeited.
CREATE VIEW IF NOT EXISTS grant_draws AS
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
                WHERE decision = 'charged'
                UNION ALL
                SELECT account_id, event_id, assumeNotNull(line) AS line_number, source_offset AS offset_,
                    emptyArrayString() AS ids_, emptyArrayInt64() AS taken_,
                    credits - greatest(0, least(credits, credits - forfeited - assumeNotNull(balance_after))) AS amount,
                    forfeited AS lost, toUInt8(0) AS is_charge
                FROM refund_rows FINAL
                WHERE isNotNull(line)
            )
            GROUP BY account_id, event_id, line_number
        )
        ARRAY JOIN charges AS charge, next_offsets AS next_offset
    )
)
ARRAY JOIN ids AS grant_id, taken AS took, reaches AS reach
GROUP BY account_id, grant_id;

DROP VIEW IF EXISTS lapsing_draws;

CREATE VIEW IF NOT EXISTS lapsing_draws AS
SELECT account_id, grant_id, drawn FROM grant_draws WHERE account_id IN (SELECT account_id FROM lapsing_grants);

-- held is what open holds set aside now; available is what a hold or a rejecting account's event may still use.
DROP VIEW IF EXISTS balances;

CREATE VIEW IF NOT EXISTS balances AS
SELECT account_id, credit_type, sum(amount) - sum(gone) AS balance, sum(gone) AS lapsed, sum(amount) AS balance_after,
    sum(set_aside) AS held, sum(amount) - sum(gone) - sum(set_aside) AS available, max(at_offset) AS source_offset
FROM
(
    SELECT account_id, credit_type, balance_after AS amount, toInt64(0) AS gone, toInt64(0) AS set_aside,
        source_offset AS at_offset
    FROM last_balances
    UNION ALL
    SELECT account_id, credit_type, toInt64(0) AS amount, credits AS gone, toInt64(0) AS set_aside, toInt64(-1) AS at_offset
    FROM lapsed_grants
    UNION ALL
    SELECT account_id, credit_type, toInt64(0) AS amount, toInt64(0) AS gone, credits AS set_aside,
        source_offset AS at_offset
    FROM held_credits
)
GROUP BY account_id, credit_type;
