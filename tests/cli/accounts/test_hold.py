"""`creditmeter hold` and `hold release` with a real broker and worker, and what is shown of holds afterwards."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

from tests.harness import Pipeline

pytestmark = pytest.mark.kafka

Run = Callable[..., Result]


def plain(run: Run, *arguments: str, code: int = 0) -> dict[str, Any]:
    """What the command prints with --json."""
    result = run(*arguments, "--json")
    assert result.exit_code == code, result.stderr + result.stdout
    return json.loads(result.stdout)  # type: ignore[no-any-return]


def lookup(account: str, event_id: str, **fields: Any) -> str:
    at = time.time_ns() // 1_000_000
    return json.dumps(
        {
            "event_id": event_id, "account_id": account, "occurred_at": at, "endpoint": "/v1/ip-lookup",
            "channel": "api", "ip": "192.0.2.1", **fields,
        }
    )  # fmt: skip


def rejecting(run: Run, account: str, credits_: int) -> None:
    """The account rejects, and has so many credits."""
    assert run("account", "set", account, "--on-empty", "reject").exit_code == 0
    assert run("grant", account, str(credits_), "--credit-type", "credit").exit_code == 0


def test_a_hold_from_the_first_to_the_last(here: Run, rated: Pipeline) -> None:
    rejecting(here, "holding", 100)
    placed = here("hold", "holding", "--credits", "credit=60", "--id", "h-1", "--reason", "export 7")
    assert placed.exit_code == 0, placed.stderr
    assert placed.stdout.startswith("held: 60 credits by hold h-1 until 2")
    assert placed.stdout.endswith("available 40 credits\n")
    assert "sending hold h-1\nin the log: " in placed.stderr
    rejected = here("hold", "holding", "--credits", "credit=41", "--id", "h-2")
    assert rejected.exit_code == 1
    assert rejected.stdout == "rejected: hold h-2 asks for 41 credits (insufficient_credits); available 40 credits\n"

    events = [lookup("holding", "e-1", hold_id="h-1", keeps_hold=True), lookup("holding", "e-2", hold_id="h-2")]
    assert here("emit", "--wait", "30", stdin="\n".join(events)).exit_code == 0
    shown = plain(here, "account", "show", "holding")
    assert {name: shown["balances"]["credit"][name] for name in ("balance", "held", "available")} == {
        "balance": 80, "held": 40, "available": 40,
    }  # fmt: skip
    (open_hold,) = shown["holds"]
    assert (open_hold["hold_id"], open_hold["credits"], open_hold["held"], open_hold["charged"]) == (
        "h-1", {"credit": 60}, {"credit": 40}, {"credit": 20},
    )  # fmt: skip
    text = here("account", "show", "holding").stdout
    assert "open hold" in text
    assert "export 7" in text

    released = here("hold", "release", "h-1", "--account", "holding")
    assert released.exit_code == 0, released.stderr
    assert released.stdout.startswith("settled: hold h-1 by event ")
    assert released.stdout.endswith("20 credits charged of 60 credits; available 80 credits\n")
    nothing = here("hold", "release", "h-1", "--account", "holding")
    assert (nothing.exit_code, nothing.stdout) == (1, "nothing changed: holding has no open hold h-1\n")
    assert plain(here, "account", "show", "holding")["holds"] == []
    rated.wait_until_rated()


def test_a_hold_again_and_another_of_its_id(here: Run) -> None:
    assert here("hold", "again", "--credits", "credit=5", "--id", "h", "--expires-in", "2h").exit_code == 0
    again = here("hold", "again", "--credits", "credit=5", "--id", "h", "--expires-in", "2h")
    assert again.exit_code == 0
    assert again.stdout.startswith("repeated: nothing changed; hold h of again was accepted before at ")
    other = here("hold", "again", "--credits", "credit=500", "--id", "h", "--expires-in", "2h")
    assert other.exit_code == 1
    assert other.stdout.startswith("the same id with other content: credits.credit 500 instead of 5; hold h of again")
    story = plain(here, "hold", "again", "--credits", "credit=500", "--id", "h", "--expires-in", "2h", code=1)
    assert (story["repeated"], story["repeat_of"]["differences"]) == (True, ["credits.credit 500 instead of 5"])
    assert plain(here, "account", "show", "again")["balances"]["credit"]["held"] == 5


def test_a_release_of_nothing_charged(here: Run) -> None:
    placed = plain(here, "hold", "freed", "--credits", "credit=5", "--credits", "a=b=7", "--expires-in", "30d")
    assert (placed["status"], placed["outputs"][0]["credits"]) == ("held", {"credit": 5, "a=b": 7})
    released = plain(here, "hold", "release", placed["hold_id"], "--account", "freed")
    assert (released["status"], released["command"]) == ("released", "request")


def test_one_that_expires_by_the_log_s_clock(here: Run) -> None:
    rejecting(here, "expiring", 100)
    placed = plain(here, "hold", "expiring", "--credits", "credit=60", "--expires-in", "1s", "--id", "short")
    time.sleep(max(0.0, placed["outputs"][0]["expires_at"] / 1000 - time.time()) + 0.05)
    assert plain(here, "account", "show", "expiring")["holds"] == []
    following = plain(here, "hold", "expiring", "--credits", "credit=90", "--id", "next")
    assert following["status"] == "held"
    # On a machine under load it may have been over when it arrived; it ends once.
    (expired,) = [out for out in (*placed["outputs"], *following["outputs"]) if out["status"] == "expired"]
    assert (expired["hold_id"], expired["available_after"], expired["charged"]) == ("short", {"credit": 100}, {})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("a", "--credits", "credit"), "'--credits': 'credit' is not like credit=100"),
        (("a", "--credits", "c=1", "--credits", "c=2", "--credits", "=3"), "'c' is given twice; '=3' is not like"),
        (("a", "--credits", "credit=0"), "--credits: 1 to 8 credit types with whole numbers from 1 to"),
        (("a", "--credits", "credit=-5"), "--credits: 1 to 8 credit types"),
        (("a", "--credits", "credit=٣"), "'credit=٣' is not like credit=100"),
        (("a",), "Missing option '--credits'"),
        (("a", "--credits", "credit=1", "--expires-in", "31d"), "--expires-in: a time later than held_at, by 30 days"),
        (("", "--credits", "credit=1"), "ACCOUNT: 1 to 128 characters"),
        (("release", "h"), "Missing option '--account'"),
        (("release", "", "--account", "a"), "HOLD_ID: 1 to 128 characters"),
    ],
)
def test_what_is_no_hold_is_not_sent(run: Run, arguments: tuple[str, ...], said: str) -> None:
    refused = run("hold", *arguments)
    assert refused.exit_code == 2
    assert said in refused.stderr
    assert "sending" not in refused.stderr
