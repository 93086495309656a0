-- The views that analysts read: each row once.

CREATE VIEW IF NOT EXISTS billed_events AS
SELECT
    event_id, line, account_id, day, occurred_at, endpoint, channel, outcome, request_id, actor, user_id, ip, domain, plan,
    mapFromArrays(quantity_names, quantity_values) AS quantities,
    mapFromArrays(attribute_names, attribute_values) AS attributes,
    decision, charge, feature, action, credit_type, price_version, units, unit_credits, credits, owner_event_id,
    window_ends_at, balance_after,
    arrayMap((g, c) -> (g, c), grant_ids, grant_credits) AS grants_used,
    source_partition, source_offset, position
FROM billed_rows FINAL;

CREATE VIEW IF NOT EXISTS refunds AS
SELECT
    refund_id, account_id, day, requested_at, event_id, line, charge, status, reject_reason, credits, forfeited,
    credit_type, remaining_charge, balance_after, reason, source_partition, source_offset, position
FROM refund_rows FINAL;

-- is_open says whether the grant can still be drawn from now, whether or not a command has come since it ended.
CREATE VIEW IF NOT EXISTS grants AS
SELECT
    grant_id, account_id, day, changed_at, credit_type, status, credits, expires_at,
    status = 'applied' AND ifNull(expires_at > now64(3), 1) AS is_open,
    balance_after, reason, source_partition, source_offset, position
FROM grant_rows FINAL;

CREATE VIEW IF NOT EXISTS dead_letters AS
SELECT
    day, recorded_at, reason, field, detail, command, account_id, id, `index`, producer, size, original,
    source_partition, source_offset, position
FROM dead_letter_rows FINAL;

CREATE VIEW IF NOT EXISTS alerts AS
SELECT account_id, day, at, kind, credit_type, mark, balance, source_partition, source_offset, position
FROM alert_rows FINAL;

-- events counts events with a line in that group; an event with lines in two groups is in both.
CREATE VIEW IF NOT EXISTS daily_usage AS
SELECT
    day, account_id, endpoint, feature, action, credit_type,
    uniqExact(event_id, occurred_at) AS events,
    count() AS lines,
    countIf(decision = 'charged') AS charged_lines,
    sum(credits) AS credits,
    countIf(decision = 'duplicate') AS duplicates
FROM billed_rows FINAL
GROUP BY day, account_id, endpoint, feature, action, credit_type;
