"""Reading commands: plain forms, exact times, and what is no command."""

import json
import random
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.input.lines import Line
from application.input.ndjson import BadLine, CommandReader, InputCommand, read_command, to_ms, why_undecodable
from metering.records import LAST_INSTANT, YEAR_2000


def command(**fields: object) -> InputCommand:
    read = read_command(1, json.dumps(fields).encode())
    assert isinstance(read, InputCommand), read
    return read


def test_an_event_with_its_plain_forms() -> None:
    read = command(event_id="e", account_id="a", occurred_at="2026-01-01T00:00:00Z", endpoint="/x", channel="api")
    assert read == InputCommand(
        1,
        "request",
        {
            "event_id": "e", "account_id": "a", "occurred_at": 1_767_225_600_000, "endpoint": "/x", "channel": "api",
            "outcome": "processed", "request_id": None, "actor": None, "user_id": None, "ip": None, "domain": None,
            "plan": None, "hold_id": None, "keeps_hold": False, "quantities": {}, "attributes": {},
        },
        1_767_225_600_000,
    )  # fmt: skip


def test_the_other_commands() -> None:
    refund = command(type="refund", refund_id="r", requested_at=5)
    assert (refund.name, refund.record["charge"], refund.record["credits"], refund.recorded_at) == (
        "refund", None, None, 5,
    )  # fmt: skip
    grant = command(type="grant", grant_id="g", granted_at=5, expires_at="2026-01-01T00:00:00+01:00")
    assert (grant.name, grant.record["expires_at"], grant.recorded_at) == ("grant", 1_767_222_000_000, 5)
    plan = {"name": "pro", "started_at": "2026-01-01T00:00:00Z"}
    account = command(type="account", update_id="u", plan=plan, at=7)
    assert account.record["plan"] == {"name": "pro", "started_at": 1_767_225_600_000}
    assert (account.name, account.record["alert_below"], account.recorded_at) == ("account", {}, 7)
    assert command(type="account", update_id="u", at=7).record["plan"] is None


def test_what_is_missing_stays_missing() -> None:
    record = command(event_id="e").record
    assert "account_id" not in record
    assert "occurred_at" not in record
    assert "type" not in record


def test_recorded_at_is_its_own_or_the_commands_time() -> None:
    assert command(occurred_at=5, recorded_at=YEAR_2000).recorded_at == YEAR_2000
    assert command(occurred_at=5, recorded_at="2000-01-01T00:00:01Z").recorded_at == YEAR_2000 + 1_000
    assert command(occurred_at=5, recorded_at="9999-12-31T23:59:59.999Z").recorded_at == LAST_INSTANT
    assert command(occurred_at=5, recorded_at=None).recorded_at == 5
    assert "recorded_at" not in command(occurred_at=5, recorded_at=YEAR_2000).record


@pytest.mark.parametrize(
    "wrong",
    ["soon", 1.5, True, [], 10**30, 0, -1, YEAR_2000 - 1, LAST_INSTANT + 1, 2**63 - 1, 1_767_225_600_000_000,
     "1999-12-31T23:59:59.999Z", "9999-12-31T23:59:59-01:00"],
)  # fmt: skip
def test_a_wrong_recorded_at_is_left_for_metering_as_an_unknown_field(wrong: object) -> None:
    assert command(occurred_at=5, recorded_at=wrong).record["recorded_at"] == wrong


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2026-01-01T00:00:00Z", 1_767_225_600_000),
        ("2026-01-01t00:00:00z", 1_767_225_600_000),
        ("2026-01-01T00:00:00.1Z", 1_767_225_600_100),
        ("2026-01-01T00:00:00.123999Z", 1_767_225_600_123),
        ("2026-01-01T00:00:00.000000001Z", 1_767_225_600_000),
        ("2026-01-01T01:30:00+01:30", 1_767_225_600_000),
        ("2025-12-31T19:00:00-05:00", 1_767_225_600_000),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000),
        ("2016-12-31T23:59:60.25Z", 1_483_228_800_250),
        ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
    ],
)
def test_times(text: str, ms: int) -> None:
    assert to_ms(text) == ms


@pytest.mark.parametrize(
    "value",
    ["2026-01-01", "2026-01-01T00:00:00", "2026-02-30T00:00:00Z", "2026-01-01T12:00:60Z", "1767225600000", "", 1.5,
     True, 1_767_225_600_000, None, [], "1999-12-31T23:59:59.999Z", "2000-01-01T00:00:00+00:01",
     "9999-12-31T23:59:59-01:00", "9999-12-31T23:59:60Z", "0001-01-01T00:00:00+23:59", "\uff12026-01-01T00:00:00Z"],
)  # fmt: skip
def test_what_is_no_text_of_a_time_stays_as_it_is(value: object) -> None:
    assert to_ms(value) is value


@given(st.integers(YEAR_2000, LAST_INSTANT))
def test_every_millisecond_is_exact(ms: int) -> None:
    seconds, rest = divmod(ms, 1_000)
    days, seconds = divmod(seconds, 86_400)
    day = date.fromordinal(date(1970, 1, 1).toordinal() + days)
    text = f"{day.isoformat()}T{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest:03}999Z"
    assert to_ms(text) == ms


@pytest.mark.parametrize(
    "content",
    [
        b"{", b"[]", b"1", b'"x"', b"null", b"nope", b"\xff{}", b'{"a": "\xff"}', b'{"a": NaN}', b'{"a": -Infinity}',
        b'{"a": 1, "a": 2}', b'{"attributes": {"x": "1", "x": "2"}}', b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        b"{} {}", b'{"a": 01}', b'{"a": "\t"}',
    ],
)  # fmt: skip
def test_undecodable(content: bytes) -> None:
    bad = read_command(3, content)
    assert isinstance(bad, BadLine)
    assert bad[:3] == (3, "undecodable", None)
    assert bad.why == why_undecodable(content)


@pytest.mark.parametrize("kind", ["price_book", "Request", "", 1, [], {}, True])
def test_an_unknown_type(kind: object) -> None:
    assert read_command(3, json.dumps({"type": kind}).encode()) == BadLine(3, "invalid_event", "type")


def test_a_null_type_is_an_absent_one() -> None:
    assert command(type=None, event_id="e").name == "request"


def test_an_integer_of_thousands_of_digits_is_a_wrong_value_in_a_good_line() -> None:
    read = read_command(1, b'{"event_id": "e", "occurred_at": ' + b"9" * 5_000 + b"}")
    assert isinstance(read, InputCommand)
    assert type(read.record["occurred_at"]) is float


def test_white_space_is_no_line_and_a_cut_one_is_undecodable() -> None:
    lines = [Line(1, b"  \r"), Line(2, b"{}"), Line(3, b'{"a": "', too_long=True)]
    assert list(CommandReader(lines))[1:] == [BadLine(3, "undecodable", None, "is too long")]


def test_no_bytes_make_it_raise() -> None:
    rng = random.Random(5)
    good = b'{"type":"refund","refund_id":"r","requested_at":"2026-01-01T00:00:00Z","credits":5,"plan":{"name":[]}}'
    for _ in range(3_000):
        mangled = bytearray(good)
        for _ in range(rng.randrange(1, 6)):
            mangled[rng.randrange(len(mangled))] = rng.randrange(256)
        read_command(1, bytes(mangled))


def test_a_last_line_without_its_end_counts_where_it_is_a_whole_object() -> None:
    whole = CommandReader([Line(1, b'{"event_id": "e"}', ended=False)])
    assert [type(command) for command in whole] == [InputCommand]
    assert whole.unfinished is None


@pytest.mark.parametrize("cut", [b'{"event_id": "e', b'{"event_id": "e", "quantities": {}', b"{", b'{"a": 1}, '])
def test_a_last_line_that_is_cut_is_left_out_and_known(cut: bytes) -> None:
    reader = CommandReader([Line(1, b'{"event_id": "a"}'), Line(2, cut, ended=False)])
    assert len(list(reader)) == 1
    assert reader.unfinished == 2
    ended = CommandReader([Line(1, b'{"event_id": "a"}'), Line(2, cut)])
    assert [type(command) for command in ended] == [InputCommand, BadLine]


def test_recorded_at_is_put_in_where_a_command_has_none() -> None:
    own = b'{"recorded_at": %d, "occurred_at": 5}' % YEAR_2000
    lines = [Line(1, b'{"event_id": "a", "occurred_at": 5}'), Line(2, own)]
    assert [command.recorded_at for command in CommandReader(lines, 9) if isinstance(command, InputCommand)] == [
        9,
        YEAR_2000,
    ]
