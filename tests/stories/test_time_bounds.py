"""Times outside the years 2000 to 9999: refused by every command that takes one, and shown wherever one is kept."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from metering.records import LAST_INSTANT, YEAR_2000
from tests.command import BOOK

Run = Callable[..., Result]
AT = 1_795_600_800_000
WRONG_TIMES = [0, AT // 1_000, YEAR_2000 - 1, LAST_INSTANT + 1, AT * 1_000, AT * 1_000_000, 2**63 - 1, True, "never",
               "1999-12-31T23:59:59Z", "+58869-08-12T00:00:00Z", "9999-12-31T23:59:59-01:00"]  # fmt: skip
EVENT = {"account_id": "acme", "occurred_at": AT, "endpoint": "/v1/pageview", "channel": "api"}
GRANT = {"type": "grant", "grant_id": "g", "account_id": "acme", "credit_type": "credit", "credits": 5}
PLAN = {"type": "account", "update_id": "u", "account_id": "acme", "at": AT}


@pytest.fixture
def rate(run: Run, tmp_path: Path) -> Callable[..., tuple[list[Any], str]]:
    """Rates commands with the small book; returns the outputs and the summary."""

    def rated(*commands: dict[str, Any], book: str = BOOK) -> tuple[list[Any], str]:
        (tmp_path / "book.yaml").write_text(book)
        (tmp_path / "in.ndjson").write_text("".join(f"{json.dumps(command)}\n" for command in commands))
        result = run("rate", "--prices", "book.yaml", "in.ndjson")
        assert result.exit_code == 0, result.output
        return [json.loads(line) for line in result.stdout.splitlines()], result.stderr

    return rated


@pytest.mark.parametrize("wrong", WRONG_TIMES)
@pytest.mark.parametrize(
    ("field", "command"),
    [
        ("occurred_at", lambda at: EVENT | {"event_id": "wrong", "occurred_at": at}),
        ("recorded_at", lambda at: EVENT | {"event_id": "wrong", "recorded_at": at}),
        ("granted_at", lambda at: GRANT | {"granted_at": at}),
        ("expires_at", lambda at: GRANT | {"granted_at": AT, "expires_at": at}),
        ("requested_at", lambda at: {"type": "refund", "refund_id": "r", "account_id": "acme", "event_id": "e1",
                                     "requested_at": at}),
        ("at", lambda at: PLAN | {"at": at}),
        ("plan", lambda at: PLAN | {"plan": {"name": "pro", "started_at": at}}),
        ("plan", lambda at: PLAN | {"plan": {"name": "pro", "started_at": AT, "ends_at": at}}),
    ],
)  # fmt: skip
def test_a_time_in_another_unit_is_refused_and_spoils_nothing_behind_it(
    rate: Callable[..., tuple[list[Any], str]], field: str, command: Callable[[Any], dict[str, Any]], wrong: Any
) -> None:
    around = [EVENT | {"event_id": f"e{n}", "occurred_at": AT + n} for n in (1, 2, 3)]
    outputs, summary = rate(around[0], command(wrong), *around[1:])
    refused = {"type": "dead_letter", "reason": "invalid_event", "field": field, "line_number": 2}
    assert [output for output in outputs if output["type"] != "billed"] == [refused]
    assert "charged: 3 credit" in summary


def test_the_bounds_themselves_are_taken(rate: Callable[..., tuple[list[Any], str]]) -> None:
    book = BOOK.replace("2026-01-01T00:00:00Z", "2000-01-01T00:00:00Z").replace("within: 24h", "within: 36500d")
    outputs, summary = rate(
        EVENT | {"event_id": "first", "occurred_at": "2000-01-01T00:00:00Z"},
        GRANT | {"granted_at": AT, "expires_at": LAST_INSTANT},
        PLAN | {"plan": {"name": "pro", "started_at": YEAR_2000, "ends_at": LAST_INSTANT}},
        EVENT | {"event_id": "last", "occurred_at": LAST_INSTANT, "endpoint": "/v1/ip-lookup", "ip": "192.0.2.1"},
        book=book,
    )
    assert "dead letters" not in summary
    (last,) = (output for output in outputs if output.get("event_id") == "last")
    assert last["window_ends_at"] == LAST_INSTANT + 36_500 * 86_400_000


@pytest.mark.parametrize(
    ("command", "option", "said"),
    [
        ("grant acme 5 --credit-type credit --expires-in 9999999d", "--expires-in", "9999-12-31T23:59:59.999Z"),
        ("grant acme 5 --credit-type credit --expires-in 99999999999999999999999h", "--expires-in", "9999-12-31T23:59"),
        ("grant acme 5 --credit-type credit --expires-in 0s", "--expires-in", "later than now"),
        ("grant acme 5 --credit-type credit --expires-at 2020-01-01", "--expires-at", "later than now"),
        ("grant acme 5 --credit-type credit --expires-at 1999-12-31", "--expires-at", "2000 to 9999"),
        ("grant acme 5 --credit-type credit --expires-at 10000-01-01", "--expires-at", "2000 to 9999"),
        ("grant acme 5 --credit-type credit --expires-at 10000-01-01T00:00:00Z", "--expires-at", "2000 to 9999"),
        ("account set acme --plan pro --started-at 1970-01-01", "--started-at", "2000 to 9999"),
        ("account set acme --plan pro --ends-at 9999-12-31T23:59:59-00:01", "--ends-at", "2000 to 9999"),
        ("rerate --prices book.yaml --from 1999-12-31 --to 2026-02-01", "--from", "2000 to 9999"),
        ("rerate --prices book.yaml --from 2026-01-01 --to 10000-01-01", "--to", "2000 to 9999"),
    ],
)
def test_an_option_says_its_name_and_the_times_that_are_taken(
    run: Run, book: Path, command: str, option: str, said: str
) -> None:
    result = run(*command.split())
    assert result.exit_code == 2, result.output
    assert option in result.stderr
    assert said in result.stderr
    assert "Traceback" not in result.stderr
