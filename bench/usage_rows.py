"""The rows that customers' reads are measured over, made by SQL in an embedded store.

A year of lines, one row in five of one account, one in twenty late, and refunds of one charged line in two hundred.
Beside them are the newest rows of an account for every fifty lines: two balances, settings, an open grant, and holds
that are over, of the large account ten thousand.
"""

from __future__ import annotations

from metering.windows import DAY_MS
from sinks.embedded import EmbeddedSink
from sinks.rows import LAST_TIME

BEGIN, YEAR = 1_764_115_200_000, 365 * DAY_MS
AT_ONCE = 1_000_000
LINES_OF_ACCOUNT = 50
COLUMNS = """account_id, day, event_id, line, occurred_at, endpoint, channel, outcome, request_id, actor, user_id, ip,
    domain, plan, quantity_names, quantity_values, attribute_names, attribute_values, decision, charge, feature, action,
    credit_type, price_version, units, unit_credits, credits, owner_event_id, window_ends_at, balance_after, grant_ids,
    grant_credits, hold_id, source_partition, source_offset, position, version"""
LINES = """INSERT INTO billed_rows ({columns})
SELECT {columns} FROM (SELECT
    if(number % 5 = 0, 'big', concat('account-', toString(intDiv(number, 5) % 2000))) AS account_id,
    toDate32(occurred_at) AS day, concat('e-', lower(hex(cityHash64(number)))) AS event_id, 0 AS line,
    fromUnixTimestamp64Milli(toInt64({begin} + intDiv(number * {year}, {rows})
        - if(number % 20 = 0, (cityHash64(number, 3) % 1000) * 8640000, 0)), 'UTC') AS occurred_at,
    concat('/v1/endpoint-', toString(cityHash64(number, 1) % 12)) AS endpoint,
    ['api', 'js', 'email'][1 + cityHash64(number, 4) % 3] AS channel,
    ['processed', 'processed', 'processed', 'processed', 'failed', 'invalid', 'blocked'][1 + cityHash64(number, 5) % 7]
        AS outcome,
    concat('rq-', toString(intDiv(number, 3))) AS request_id,
    concat('user-', toString(cityHash64(number, 6) % 40)) AS actor, toString(cityHash64(number, 7) % 100000) AS user_id,
    concat('203.0.113.', toString(cityHash64(number, 8) % 250)) AS ip, NULL AS domain, 'pro' AS plan,
    ['results'] AS quantity_names, [toInt64(cityHash64(number, 9) % 10)] AS quantity_values,
    ['description', 'filter'] AS attribute_names,
    [concat('Person ', toString(cityHash64(number) % 1000000)), toString(cityHash64(number, 10) % 30)]
        AS attribute_values,
    ['charged', 'charged', 'duplicate', 'free'][1 + cityHash64(number, 11) % 4] AS priced,
    if(outcome = 'processed', priced, 'not_billable') AS decision,
    if(outcome = 'processed', concat('charge-', toString(cityHash64(number, 1) % 12)), NULL) AS charge,
    ['Identification', 'Enrichment', 'Search'][1 + cityHash64(number, 1) % 3] AS known_feature,
    if(outcome = 'processed', known_feature, NULL) AS feature,
    if(outcome = 'processed', concat('Action ', toString(cityHash64(number, 1) % 12)), NULL) AS action,
    if(outcome = 'processed', if(cityHash64(number, 1) % 4 = 0, 'email', 'credit'), NULL) AS credit_type,
    'v1' AS price_version, 1 AS units, 20 AS unit_credits, if(decision = 'charged', 20, 0) AS credits,
    if(decision = 'duplicate', 'e-x', NULL) AS owner_event_id, NULL AS window_ends_at,
    if(outcome = 'processed', toInt64(1000000 - number % 1000), NULL) AS balance_after,
    if(decision = 'charged', ['g1'], []) AS grant_ids, if(decision = 'charged', [toInt64(20)], []) AS grant_credits,
    NULL AS hold_id, toInt32(0) AS source_partition, toInt64(intDiv(number, 100)) AS source_offset,
    number % 100 AS position, source_offset AS version
FROM numbers({first}, {count}))"""
REFUNDS = """INSERT INTO refund_rows
(account_id, day, refund_id, event_id, line, charge, status, reject_reason, credits, forfeited, credit_type,
    remaining_charge, balance_after, reason, requested_at, occurred_at, source_partition, source_offset, position,
    version)
SELECT account_id, toDate32(requested_at) AS day, concat('r-', event_id) AS refund_id, event_id, line, charge,
    'refunded' AS status, NULL AS reject_reason, credits, 0 AS forfeited, credit_type, 0 AS remaining_charge,
    balance_after, 'no result' AS reason, occurred_at + INTERVAL 1 DAY AS requested_at, occurred_at, source_partition,
    source_offset + 1 AS source_offset, position, source_offset AS version
FROM billed_rows WHERE decision = 'charged' AND cityHash64(event_id, 77) % 200 = 0"""


ACCOUNTS = (
    """(SELECT 'big' AS account_id UNION ALL SELECT concat('account-', toString(number)) FROM numbers({count}))"""
)
NEWEST_OF_KIND = """INSERT INTO current_rows (* EXCEPT(packed))
SELECT account_id, fromUnixTimestamp64Milli(toInt64({ends}), 'UTC') AS ends, '{kind}' AS kind,
    if('{kind}' = 'settings', '', concat('{kind}-', toString(place))) AS id, '{status}' AS status,
    [['credit', 'email'][place % 2 + 1]] AS credit_types,
    [toInt64(1000000)] AS amounts, emptyArrayString() AS charged_types, emptyArrayInt64() AS charged_amounts,
    1000000 AS balance_after, if('{kind}' = 'settings', 'pro', NULL) AS plan,
    if('{kind}' = 'settings', fromUnixTimestamp64Milli(toInt64({begin}), 'UTC'), NULL) AS plan_started_at,
    NULL AS plan_ends_at, '' AS reason, fromUnixTimestamp64Milli(toInt64({begin}), 'UTC') AS at, 0 AS source_partition,
    {turn} AS source_offset, place AS position, {turn} AS version
FROM {accounts} ARRAY JOIN range(if(account_id = 'big', {of_big}, {of_each})) AS place"""
TURNS = 3
"""How often every newest row was loaded: of rows with equal keys the highest version counts, merged or not."""


def make_rows(sink: EmbeddedSink, rows: int) -> None:
    """A million at a time, as loads of many groups leave them: several parts a month."""
    for first in range(0, rows, AT_ONCE):
        count = min(AT_ONCE, rows - first)
        sink.execute(LINES.format(columns=COLUMNS, begin=BEGIN, year=YEAR, rows=rows, first=first, count=count))
    sink.execute(REFUNDS)
    make_newest_rows(sink, rows // LINES_OF_ACCOUNT)


def make_newest_rows(sink: EmbeddedSink, count: int) -> None:
    """What the loader keeps beside the lines: a few rows of each of so many accounts and of the large one."""
    common = {"accounts": ACCOUNTS.format(count=count), "begin": BEGIN}
    for turn in range(1, TURNS + 1):
        for kind, status, ends, of_big, of_each in (
            ("balance", "billed_rows", LAST_TIME, 2, 2),
            ("settings", "allow", LAST_TIME, 1, 1),
            ("grant", "applied", LAST_TIME, 1, 1),
            ("hold", "settled", BEGIN, 10_000, 3),
        ):
            names = {"kind": kind, "status": status, "ends": ends, "of_big": of_big, "of_each": of_each}
            sink.execute(NEWEST_OF_KIND.format(turn=turn, **names, **common))
