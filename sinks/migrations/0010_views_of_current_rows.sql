-- The views of the present read from current_rows, as before in what they show. One account's rows are then few, and what
-- looks at the grants of all accounts reads little.

-- What open holds set aside now.
DROP VIEW IF EXISTS held_credits;

CREATE VIEW IF NOT EXISTS held_credits AS
SELECT account_id, type AS credit_type, sum(amount) AS credits, max(at_offset) AS source_offset
FROM
(
    SELECT account_id, last.2 AS types, last.3 AS asked_amounts, last.4 AS drawn_types, last.5 AS drawn_amounts,
        last.6 AS at_offset,
        arrayMap((type, asked) -> greatest(0, asked - drawn_amounts[indexOf(drawn_types, type)]), types, asked_amounts) AS set_aside
    FROM
    (
        SELECT account_id, ends, id,
            argMax((status, credit_types, amounts, charged_types, charged_amounts, source_offset), version) AS last
        FROM current_rows WHERE kind = 'hold' AND ends > now64(3) GROUP BY account_id, ends, id
    )
    WHERE last.1 IN ('held', 'drawn')
)
ARRAY JOIN types AS type, set_aside AS amount
GROUP BY account_id, credit_type;

-- Grants that are over by the clock while nothing has been heard of their account since.
DROP VIEW IF EXISTS lapsing_grants;

CREATE VIEW IF NOT EXISTS lapsing_grants AS
SELECT account_id, ended.1 AS credit_type, ended.2 AS grant_id, ended.3 AS expires_at, ended.4 AS opened
FROM
(
    SELECT account_id, groupArrayIf((type, id, ends, left_open), is_grant) AS all_ended, max(heard_at) AS last_heard
    FROM
    (
        SELECT account_id, toString(types[1]) AS type, id, ends,
            granted[1] - greatest(0, least(granted[1], granted[1] - last.4)) AS left_open, last.5 AS heard_at,
            toUInt8(1) AS is_grant, last.2 AS types, last.3 AS granted
        FROM
        (
            SELECT account_id, ends, id, argMax((status, credit_types, amounts, balance_after, at), version) AS last
            FROM current_rows WHERE kind = 'grant' AND ends <= now64(3) GROUP BY account_id, ends, id
        )
        WHERE last.1 = 'applied'
        UNION ALL
        SELECT account_id, '' AS type, '' AS id, max(at) AS ends, toInt64(0) AS left_open, max(at) AS heard_at,
            toUInt8(0) AS is_grant, emptyArrayString() AS types, emptyArrayInt64() AS granted
        FROM latest_balance_rows GROUP BY account_id
    )
    GROUP BY account_id
)
ARRAY JOIN all_ended AS ended
WHERE expires_at > last_heard;

-- What is drawn from the grants of the accounts that may have such grants.
DROP VIEW IF EXISTS lapsing_draws;

CREATE VIEW IF NOT EXISTS lapsing_draws AS
SELECT account_id, grant_id, drawn FROM grant_draws
WHERE account_id IN
(
    SELECT account_id
    FROM
    (
        SELECT account_id, ends AS ended_at, toDateTime64('2000-01-01 00:00:00', 3, 'UTC') AS heard_at
        FROM current_rows WHERE kind = 'grant' AND status = 'applied' AND ends <= now64(3)
        UNION ALL
        SELECT account_id, toDateTime64('2000-01-01 00:00:00', 3, 'UTC') AS ended_at, at AS heard_at
        FROM latest_balance_rows
    )
    GROUP BY account_id
    HAVING max(ended_at) > max(heard_at)
);

-- The settings in force; an account without an update is not there: no plan, allow, no marks.
DROP VIEW IF EXISTS accounts;

CREATE VIEW IF NOT EXISTS accounts AS
SELECT account_id, last.1 AS plan, last.2 AS plan_started_at, last.3 AS plan_ends_at, last.4 AS on_empty,
    mapFromArrays(last.5, last.6) AS alert_below, last.7 AS update_id, last.8 AS changed_at,
    last.9 AS source_partition, last.10 AS source_offset
FROM
(
    SELECT account_id,
        argMax(
            (plan, plan_started_at, plan_ends_at, status, credit_types, amounts, reason, at, source_partition,
            source_offset),
            version
        ) AS last
    FROM current_rows WHERE kind = 'settings' GROUP BY account_id
);
