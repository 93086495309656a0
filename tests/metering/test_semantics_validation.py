"""What makes a command invalid, field by field: the dead letter names the first wrong field in the schema's order."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from tests.metering import meter as make
from tests.metering.meter import DAY, NOON, NewMeter, book, charge, refusal

BOOK = book(charge("lookup", 20))
RIGHT = {
    "request": make.request("e1", NOON, ip="10.0.0.1", domain="acme.com", quantities={"n": 1}, attributes={"a": "b"}),
    "refund": make.refund("r1", "e1", NOON, charge="lookup", credits=5),
    "grant": make.grant("g1", 5, NOON, expires_at=NOON + DAY),
    "account": make.account("u1", NOON, plan={"name": "pro", "started_at": NOON, "ends_at": NOON + DAY}),
}
LONG_MAX = 2**63 - 1
MISSING = object()
YEAR_2000 = 946_684_800_000
YEAR_10000 = 253_402_300_800_000  # 9999-12-31T24:00, how SQL people write "never"


def many(count: int, value: Any) -> dict[str, Any]:
    return {f"n{number}": value for number in range(count)}


NO_TEXT = [MISSING, None, "", 7, True, 1.5, b"bytes", ["list"], {"a": "map"}]
NO_ID = [*NO_TEXT, "x" * 129]
NO_NAME = [*NO_TEXT, "x" * 257]
NO_OPTIONAL_NAME = [7, True, b"bytes", ["list"], {}, "x" * 257]
NO_LONG = [MISSING, None, "", "1", 1.0, True, LONG_MAX + 1, -(2**63) - 1, []]
NO_TIME = [*NO_LONG, 0, -1, NOON // 1_000, YEAR_2000 - 1, YEAR_10000, NOON * 1_000, NOON * 1_000_000, LONG_MAX]
NO_REASON = [7, True, b"bytes", [], "x" * 1025]
NO_IP = ["1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2.3.4/32", " 1.2.3.4", "01.2.3.4", "2001:db8", ":::", "localhost", "1"]
NO_DOMAIN = [
    "localhost", "acme..com", ".acme.com", "acme.com..", "-acme.com", "acme-.com", "acme.com-", "ac me.com", "a/b.com",
    "acme.com:80", "https://acme.com", "10.0.0.1", "acme.123", "a" * 64 + ".com", ".", "www.", "com.", "jane@acme.com",
    ".".join(["a" * 49] * 5) + ".abcd",
]  # fmt: skip

WRONG = {
    "request": {
        "event_id": NO_ID,
        "account_id": NO_ID,
        "occurred_at": NO_TIME,
        "endpoint": NO_NAME,
        "channel": NO_NAME,
        "outcome": ["unknown", "Processed", "", 7, True, []],
        "request_id": NO_OPTIONAL_NAME,
        "actor": NO_OPTIONAL_NAME,
        "user_id": NO_OPTIONAL_NAME,
        "ip": [*NO_OPTIONAL_NAME, *NO_IP],
        "domain": [*NO_OPTIONAL_NAME, *NO_DOMAIN],
        "plan": NO_OPTIONAL_NAME,
        "quantities": [
            7, "x", [], {"n": -1}, {"n": 10**9 + 1}, {"n": "1"}, {"n": 1.0}, {"n": True}, {"n": None}, many(33, 1),
        ],
        "attributes": [7, "x", [], {"a": 1}, {"a": None}, {"a": True}, {"a": "x" * 1025}, many(33, "x")],
    },
    "refund": {
        "refund_id": NO_ID,
        "account_id": NO_ID,
        "event_id": NO_ID,
        "charge": NO_OPTIONAL_NAME,
        "credits": [0, -1, "1", 1.0, True, LONG_MAX + 1],
        "reason": NO_REASON,
        "requested_at": NO_TIME,
    },
    "grant": {
        "grant_id": [*NO_ID, "refund:", "refund:r1"],  # reserved for the grants that refunds make
        "account_id": NO_ID,
        "credit_type": NO_NAME,
        "credits": [*NO_LONG, 0, -1, 10**12 + 1],
        "granted_at": NO_TIME,
        "expires_at": [NOON, NOON - 1, "1", 1.0, True, LONG_MAX + 1, LONG_MAX, YEAR_10000, NOON * 1_000, 0],
        "reason": NO_REASON,
    },
    "account": {
        "update_id": NO_ID,
        "account_id": NO_ID,
        "plan": [
            7, "pro", [], {"name": "pro"}, {"name": "", "started_at": NOON, "ends_at": None},
            {"name": None, "started_at": NOON, "ends_at": None},
            {"name": "x" * 257, "started_at": NOON, "ends_at": None},
            {"name": "pro", "started_at": "1", "ends_at": None}, {"name": "pro", "started_at": NOON, "ends_at": "1"},
            {"name": "pro", "started_at": NOON, "ends_at": NOON},
            {"name": "pro", "started_at": 0, "ends_at": None},
            {"name": "pro", "started_at": YEAR_2000 - 1, "ends_at": None},
            {"name": "pro", "started_at": YEAR_10000, "ends_at": None},
            {"name": "pro", "started_at": True, "ends_at": None},
            {"name": "pro", "started_at": NOON, "ends_at": YEAR_10000},
            {"name": "pro", "started_at": NOON, "ends_at": LONG_MAX},
        ],
        "on_empty": ["", "deny", "ALLOW", 7, True],
        "alert_below": [7, "x", [], {"credit": "1"}, {"credit": 1.0}, {"credit": True}, {"credit": None}, {"": 1}],
        "at": NO_TIME,
    },
}  # fmt: skip
ORDER = {command: list(fields) for command, fields in WRONG.items()}


def shown(value: Any) -> str:
    text = "missing" if value is MISSING else repr(value)
    return text if len(text) < 30 else f"{text[:20]}…{len(text)}"


CASES = [
    pytest.param(command, field, value, id=f"{command}-{field}-{shown(value)}")
    for command, fields in WRONG.items()
    for field, values in fields.items()
    for value in values
]


def with_value(command: str, field: str, value: Any) -> dict[str, Any]:
    record = RIGHT[command] | {field: value}
    return {name: given for name, given in record.items() if given is not MISSING}


@pytest.mark.parametrize(("command", "field", "value"), CASES)
def test_a_wrong_field_is_named(meter: NewMeter, command: Any, field: Any, value: Any) -> None:
    assert refusal(meter(BOOK).apply(command, with_value(command, field, value), NOON)) == f"invalid_event: {field}"


@pytest.mark.parametrize("command", RIGHT)
def test_the_right_ones_are_right(meter: NewMeter, command: Any) -> None:
    assert "dead_letter" not in [kind for kind, _ in meter(BOOK).apply(command, RIGHT[command], NOON)]


@pytest.mark.parametrize(
    ("command", "first", "second"),
    [(command, *pair) for command, fields in ORDER.items() for pair in pairwise(fields)],
)
def test_of_two_wrong_fields_the_first_in_the_schemas_order_is_named(
    meter: NewMeter, command: Any, first: Any, second: Any
) -> None:
    both = {second: WRONG[command][second][-1], first: WRONG[command][first][-1]}
    assert refusal(meter(BOOK).apply(command, RIGHT[command] | both, NOON)) == f"invalid_event: {first}"


@pytest.mark.parametrize("command", RIGHT)
def test_a_field_that_the_schema_has_not_is_wrong(meter: NewMeter, command: Any) -> None:
    assert refusal(meter(BOOK).apply(command, RIGHT[command] | {"colour": "red"}, NOON)) == "invalid_event: colour"


@pytest.mark.parametrize("command", RIGHT)
def test_an_unknown_field_stands_after_the_schemas_own(meter: NewMeter, command: Any) -> None:
    last = ORDER[command][-1]
    record = {"colour": "red"} | RIGHT[command] | {last: WRONG[command][last][-1]}
    assert refusal(meter(BOOK).apply(command, record, NOON)) == f"invalid_event: {last}"


# -- the longest and the largest that are right -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "field", "value"),
    [
        ("request", "event_id", "x" * 128),
        ("request", "account_id", "x" * 128),
        ("request", "occurred_at", YEAR_2000),
        ("request", "endpoint", "x" * 256),
        ("request", "channel", "anything of the user's own"),
        ("request", "user_id", "x" * 256),
        ("request", "user_id", "ü" * 256),  # characters, not bytes
        ("request", "actor", "x" * 256),
        ("request", "plan", "x" * 256),
        ("request", "ip", "2001:db8::1"),
        ("request", "domain", "a" * 63 + ".com"),
        ("request", "domain", "_dmarc.acme.com"),
        ("request", "domain", "a-b.c0m"),
        ("request", "domain", "123.de"),
        ("request", "domain", "München.DE."),
        ("request", "domain", ".".join(["a" * 49] * 5) + ".abc"),  # 253
        ("request", "quantities", {"n": 0}),
        ("request", "quantities", {"n": 10**9}),
        ("request", "quantities", many(32, 1)),
        ("request", "attributes", {"a": "x" * 1024}),
        ("request", "attributes", {"a": ""}),
        ("request", "attributes", many(32, "x")),
        ("refund", "refund_id", "x" * 128),
        ("refund", "charge", None),
        ("refund", "charge", "x" * 256),
        ("refund", "credits", None),
        ("refund", "credits", LONG_MAX),
        ("refund", "reason", ""),
        ("refund", "reason", "x" * 1024),
        ("grant", "grant_id", "refund"),
        ("grant", "grant_id", "Refund:r1"),
        ("grant", "credit_type", "x" * 256),
        ("grant", "credits", 1),
        ("grant", "credits", 10**12),
        ("grant", "expires_at", None),
        ("grant", "expires_at", NOON + 1),
        ("grant", "expires_at", YEAR_10000 - 1),
        ("grant", "reason", ""),
        ("grant", "reason", "x" * 1024),
        ("account", "plan", None),
        ("account", "plan", {"name": "pro", "started_at": YEAR_2000, "ends_at": YEAR_10000 - 1}),
        ("account", "on_empty", "reject"),
        ("account", "alert_below", {}),
        ("account", "alert_below", {"credit": 0, "email": LONG_MAX}),
    ],
)
def test_the_widest_that_is_right(meter: NewMeter, command: Any, field: Any, value: Any) -> None:
    kinds = [kind for kind, _ in meter(BOOK).apply(command, RIGHT[command] | {field: value}, NOON)]
    assert "dead_letter" not in kinds


@pytest.mark.parametrize(
    "field", ["request_id", "actor", "user_id", "ip", "domain", "plan", "quantities", "attributes"]
)
def test_what_may_be_null_may_be_absent(meter: NewMeter, field: Any) -> None:
    record = with_value("request", field, MISSING)
    assert [kind for kind, _ in meter(BOOK).apply("request", record, NOON)] == ["billed"]


# -- a wrong field comes before everything else -----------------------------------------------------------------------


def test_invalid_comes_before_in_future_and_repeated(meter: NewMeter) -> None:
    mine = meter(BOOK)
    mine.line("e1", at=NOON)
    assert refusal(mine.event("e1", at=NOON + DAY, ip="nonsense", recorded_at=NOON)) == "invalid_event: ip"
    assert refusal(mine.event("e1", at=NOON + DAY, recorded_at=NOON)) == "in_future"


@pytest.mark.parametrize("outcome", ["failed", "invalid"])
def test_what_is_not_billable_must_be_right_too(meter: NewMeter, outcome: Any) -> None:
    assert refusal(meter(BOOK).event("e1", at=NOON, ip="nonsense", outcome=outcome)) == "invalid_event: ip"


def test_a_dead_letter_changes_no_state(meter: NewMeter) -> None:
    mine = meter(BOOK)
    mine.grant("g1", 50, at=NOON, expires_at=NOON + DAY)
    assert refusal(mine.event("e1", at=NOON + 9 * DAY, quantities={"n": -1})) == "invalid_event: quantities"
    line = mine.line("e1", at=NOON)
    assert (line["decision"], line["balance_after"]) == ("charged", 30)
