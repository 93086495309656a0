"""From the lines of a file to commands: ids that last, payers, what is not sent and why; and a real log."""

import os
from collections import Counter
from pathlib import Path

import pytest

from application.input.account_pattern import AccountPattern
from application.input.file_events import (
    EventMapping,
    InputItem,
    LineIds,
    Rejected,
    Unfinished,
    log_commands,
    ndjson_commands,
)
from application.input.lines import Line
from application.input.log_formats import LOG_FORMATS
from application.input.ndjson import InputCommand

REAL_LOG = Path(__file__).parents[4] / "shared" / "data" / "apache_combined_2015.log"
START = b"1.2.3.4 - - [17/May/2015:10:05:03 +0000] "
ACME = EventMapping("acme", None, "web", None)


def items_of(lines: list[Line], mapping: EventMapping = ACME, **options: bool) -> list[InputItem]:
    plain = {"last_line_complete": False} | options
    return list(log_commands(iter(lines), LOG_FORMATS["access-log"], mapping, **plain))


def ids_of(lines: list[bytes]) -> list[str]:
    ids = LineIds()
    return [ids.next_id(line) for line in lines]


def test_ids_follow_content_and_survive_growth() -> None:
    lines = [b"a", b"b", b"a", b"c", b"a"]
    ids = ids_of(lines)
    assert len(set(ids)) == 5
    assert ids_of([*lines, b"d", b"a"])[:5] == ids
    assert ids_of([b"c"]) == [ids[3]]


def test_ids_take_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    from application.input import file_events as log_events

    monkeypatch.setattr(log_events, "_LINES_REMEMBERED", 10)
    ids = LineIds()
    given_ids = [ids.next_id(str(number % 5).encode()) for number in range(100)]
    assert len(set(given_ids)) == 100
    for number in range(1_000):
        ids.next_id(f"other {number}".encode())
    assert len(ids._recent) + len(ids._before) <= 20


def test_accounts_from_the_path() -> None:
    mapping = EventMapping("other", AccountPattern(r"^/t/(?P<account>[^/]+)/"), "web", None)
    lines = [Line(1, START + b'"GET /t/acme/x HTTP/1.1" 200 5'), Line(2, START + b'"GET /x HTTP/1.1" 200 5')]
    accounts = [item.record["account_id"] for item in items_of(lines, mapping) if isinstance(item, InputCommand)]
    assert accounts == ["acme", "other"]
    rejected = items_of(lines, EventMapping(None, mapping.pattern, "web", None))[1]
    assert isinstance(rejected, Rejected)
    assert "names no account" in rejected.why


@pytest.mark.slow
def test_the_real_log() -> None:
    path = Path(os.environ.get("CREDITMETER_TEST_ACCESS_LOG", REAL_LOG))
    if not path.is_file():
        pytest.fail(f"the access log is not at {path}: set CREDITMETER_TEST_ACCESS_LOG to where it is", pytrace=False)
    items = items_of([Line(number, content) for number, content in enumerate(path.read_bytes().splitlines(), 1)])
    assert len(items) == 10_000
    rejected = [item.line_number for item in items if isinstance(item, Rejected)]
    assert rejected == [8_899]  # its agent's quote never ends
    events = [item.record for item in items if isinstance(item, InputCommand)]
    assert len({event["event_id"] for event in events}) == 9_999
    assert Counter(event["outcome"] for event in events) == {
        "processed": 9_779, "invalid": 215, "blocked": 2, "failed": 3,
    }  # fmt: skip
    assert len({event["ip"] for event in events}) == 1_753
    assert sum(int(event["attributes"].get("bytes", 0)) for event in events) > 10**9


def test_a_last_line_without_its_end_is_not_sent() -> None:
    whole = START + b'"GET /x HTTP/1.1" 200 5 "-" "-" "10.0.0.1"'
    for cut in (whole, whole[:-4], whole[:20], b"\x00", b"x" * 10):
        sent, last = items_of([Line(1, whole), Line(2, cut, ended=False)])
        assert isinstance(sent, InputCommand)
        assert last == Unfinished(2, cut)
    assert [type(item) for item in items_of([Line(1, whole, ended=False)], last_line_complete=True)] == [InputCommand]


def test_a_grown_log_gives_the_lines_of_before_the_same_ids() -> None:
    line = START + b'"GET /x HTTP/1.1" 200 5 "-" "-"'
    before = items_of([Line(1, line), Line(2, line), Line(3, line[:-3], ended=False)])
    after = items_of([Line(1, line), Line(2, line), Line(3, line), Line(4, line)])
    ids = [item.record["event_id"] for item in after if isinstance(item, InputCommand)]
    assert len(set(ids)) == 4
    assert [item.record["event_id"] for item in before if isinstance(item, InputCommand)] == ids[:2]


def test_the_same_for_ndjson() -> None:
    event = b'{"event_id":"e","account_id":"a","occurred_at":1767312000000,"endpoint":"/x","channel":"api"}'
    for cut in (event[:-1], event[:20], b"{", b"{}, "):
        commands = list(ndjson_commands(iter([Line(1, event), Line(2, cut, ended=False)]), last_line_complete=False))
        assert [type(item) for item in commands] == [InputCommand, Unfinished]
    commands = list(ndjson_commands(iter([Line(1, event, ended=False)]), last_line_complete=False))
    assert [type(item) for item in commands] == [InputCommand], "a whole object is finished"
    commands = list(ndjson_commands(iter([Line(1, event[:-1], ended=False)]), last_line_complete=True))
    assert [type(item) for item in commands] == [Rejected]


def test_a_line_above_one_mebibyte_is_too_long() -> None:
    long_ = START + b'"GET /' + b"a" * (1 << 20) + b' HTTP/1.1" 200 5'
    bad, good = items_of([Line(1, long_), Line(2, START + b'"GET /a HTTP/1.1" 200 5')])
    assert isinstance(bad, Rejected)
    assert bad.why == "is too long: 1,048,576 bytes are the most"
    assert isinstance(good, InputCommand)


def test_what_metering_refuses_is_refused_with_its_field() -> None:
    (bad,) = items_of([Line(1, b'1.2.3.4 - - [17/May/1999:10:05:03 +0000] "GET / HTTP/1.1" 200 5')])
    assert isinstance(bad, Rejected)
    assert bad.why.startswith("makes no event: occurred_at: is 926935503000, should be a time of the years")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b'{"event_id": "a", "event_id": "b"}', "is not a JSON object: a key stands twice"),
        (b'{"event_id": NaN}', "is not a JSON object: NaN is not JSON"),
        (b'{"event_id": "\xe9"}', "is not a JSON object: its byte 15 is not UTF-8"),
        (b'{"event_id": "a",}', "is not a JSON object"),
        (b'{"ClientHost": "203.0.113.9", "DownstreamStatus": 200}', "has neither event_id nor account_id: it is no"),
        (b'{"MESSAGE": "1.2.3.4 - -", "_HOSTNAME": "web1"}', "has neither event_id nor account_id: it is no"),
        (b'{"account_id": "a"}', "event_id: is missing"),
        (b'{"type": "grant"}', "grant_id: is missing"),
    ],
)
def test_why_a_line_is_no_command(content: bytes, why: str) -> None:
    (rejected,) = ndjson_commands(iter([Line(1, content)]), last_line_complete=False)
    assert isinstance(rejected, Rejected)
    assert rejected.why.startswith(why)
