"""`emit --wait`: what became of the events that were sent, told from the worker's answers."""

import json
import time
from collections.abc import Callable

import pytest
from click.testing import Result

Run = Callable[..., Result]
AT = time.time_ns() // 1_000_000


def line(event_id: str, **fields: object) -> str:
    event = {
        "event_id": event_id, "account_id": "waiting", "occurred_at": AT, "endpoint": "/v1/pageview", "channel": "js",
    }  # fmt: skip
    return json.dumps(event | fields)


@pytest.mark.kafka
def test_repeats_reused_ids_and_dead_letters_are_counted(here: Run) -> None:
    first = here("emit", "--wait", "30", "--strict", stdin="\n".join(line(f"w{n}") for n in range(5)))
    assert first.exit_code == 0, first.stderr
    assert first.stderr.splitlines()[-2:] == [
        "5 sent and acknowledged, 0 bad lines", "5 accepted, 0 repeated, 0 set aside",
    ]  # fmt: skip
    lines = [
        line("w0"), *(line(f"w{n}", endpoint="/v1/ip-lookup") for n in (1, 2)),
        line("late", occurred_at=AT - 40 * 86_400_000), line("w9"),
    ]  # fmt: skip
    again = here("emit", "--wait", "30", stdin="\n".join(lines))
    assert again.exit_code == 0, again.stderr
    assert "\n1 accepted, 3 repeated (2 of them others under a known id), 1 set aside\n" in again.stderr
    assert "  request w1 at " in again.stderr
    assert "its id was accepted before at " in again.stderr
    assert here("emit", "--wait", "30", "--strict", stdin=line("w1", channel="api")).exit_code == 1


@pytest.mark.kafka
def test_no_time_to_wait_is_said_and_loses_nothing(here: Run) -> None:
    undecided = here("emit", "--wait", "0", stdin="\n".join(line(f"n{n}") for n in range(2_000)))
    # A worker may be as quick as that; where it is not, the place in the log is named.
    assert "2,000 sent and acknowledged" in undecided.stderr
    assert (undecided.exit_code == 1) == ("Not decided within 0 s" in undecided.stderr)
    again = here("emit", "--wait", "30", stdin="\n".join(line(f"n{n}") for n in range(2_000)))
    assert "0 accepted, 2,000 repeated, 0 set aside" in again.stderr


def test_a_dry_run_has_nothing_to_wait_for(run: Run) -> None:
    refused = run("emit", "--dry-run", "--wait", "1", stdin=line("e"))
    assert (refused.exit_code, "--dry-run sends nothing" in refused.stderr) == (2, True)
