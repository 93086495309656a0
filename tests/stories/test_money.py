"""Grants, refunds, settings and dead letters on a real pipeline: a broker, a worker, a loader with chDB."""

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from application.accounts.opening import opened_replay
from application.commands.account_settings import SettingsChange, SettingsUpdate
from application.configuration.sources import load
from application.pipeline import opened
from cli.main import main
from local.shared import SharedKafka
from streams import clock
from streams.log.command_producer import CommandProducer
from tests.command import BOOK, WorkerAndLoader, own_ports, worker_and_loader

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

Run = Callable[..., Result]


def run(*arguments: str | Path, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], input=stdin, catch_exceptions=False)


def done(*arguments: str | Path, stdin: str | None = None) -> Result:
    result = run(*arguments, stdin=stdin)
    assert result.exit_code == 0, result.stderr + result.stdout
    return result


def plain(*arguments: str, code: int = 0) -> list[dict[str, Any]]:
    """What the command prints with --json."""
    result = run(*arguments, "--json")
    assert result.exit_code == code, result.stderr + result.stdout
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture(scope="module")
def running(kafka: SharedKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerAndLoader]:
    """A pipeline that runs, with a book in force; each test has accounts of its own."""
    folder = tmp_path_factory.mktemp("money")
    (folder / "creditmeter.toml").write_text(
        f'bootstrap_servers = "{kafka.bootstrap}"\ntopic_prefix = "{kafka.fresh_prefix()}"\npartitions = 2\n'
        + own_ports()
    )
    (folder / "book.yaml").write_text(BOOK)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        with worker_and_loader() as made:
            done("prices", "publish", "book.yaml")
            yield made


@pytest.fixture(scope="module")
def pipeline(running: WorkerAndLoader) -> Path:
    """The folder of the pipeline."""
    return running.folder


@pytest.fixture(autouse=True)
def _there(pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pipeline)


def event(account: str, event_id: str, **fields: Any) -> dict[str, Any]:
    at = time.time_ns() // 1_000_000
    return {
        "event_id": event_id, "account_id": account, "occurred_at": at, "endpoint": "/v1/ip-lookup", "channel": "api",
        "outcome": "processed", "ip": "192.0.2.1", **fields,
    }  # fmt: skip


def emit(*events: dict[str, Any]) -> None:
    done("emit", stdin="\n".join(map(json.dumps, events)))


def wait_for_rows(account: str, count: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        sql = f"SELECT count() AS rows FROM billed_events WHERE account_id = '{account}'"
        if json.loads(done("query", "--format", "ndjson", sql).stdout)["rows"] == count:
            return
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_grant_is_waited_for_and_counts_once() -> None:
    options = ("--credit-type", "credit", "--expires-in", "30d", "--id", "g1", "--reason", "a gift")
    granted = done("grant", "granted", "5000", *options)
    assert "granted: 5,000 credits to granted (expires 2" in granted.stdout
    assert "balance 5,000 credit" in granted.stdout
    assert "sending grant g1\nin the log: " in granted.stderr
    other = run("grant", "granted", "50", *options)
    assert other.exit_code == 1
    assert "the same id with other content: credits 50 instead of 5000" in other.stdout
    (again,) = plain("grant", "granted", "5000", *options)
    assert (again["repeated"], again["outputs"], again["id"]) == (True, [], "g1")
    (another,) = plain("grant", "granted", "7", "--credit-type", "credit")
    assert not another["repeated"]
    (output,) = another["outputs"]
    assert (output["type"], output["status"], output["credits"], output["balance_after"]) == (
        "grant", "applied", 7, 5_007,
    )  # fmt: skip
    assert another["id"] == output["grant_id"] != "g1"


def test_a_machine_whose_clock_is_ahead_is_told_why(monkeypatch: pytest.MonkeyPatch) -> None:
    ahead = time.time_ns() // 1_000_000 + 3_600_000
    monkeypatch.setattr(clock, "now_ms", lambda: ahead)
    refused = run("grant", "ahead", "5", "--credit-type", "credit")
    assert refused.exit_code == 1
    assert "set aside: in_future: the command's time is further ahead of the log's clock" in refused.stdout
    (refund,) = plain("refund", "e", "--account", "ahead", code=1)
    assert refund["outputs"][0]["reason"] == "in_future"
    settings = run("account", "set", "ahead", "--on-empty", "reject")
    assert (settings.exit_code, "set aside: in_future" in settings.stdout) == (1, True)
    assert settings.stdout.splitlines()[-2] == "on empty     allow"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("a", "0", "--credit-type", "c"), "CREDITS"),
        (("", "1", "--credit-type", "c"), "ACCOUNT: 1 to 128 characters"),
        (("a", "1", "--credit-type", "c", "--id", "refund:x"), "--id: 1 to 128 characters, not beginning with refund:"),
        (("a", "1", "--credit-type", "c", "--expires-at", "2020-01-01"), "--expires-at: a time later than now"),
        (("a", "1", "--credit-type", "c", "--expires-at", "soon"), "is not a time"),
        (("a", "1", "--credit-type", "c", "--expires-in", "1d", "--expires-at", "2099-01-01"), "two ways"),
        (("a", "2000000000000", "--credit-type", "c"), "CREDITS: a whole number from 1 to 1,000,000,000,000"),
    ],
)
def test_what_is_no_grant_is_not_sent(arguments: tuple[str, ...], said: str) -> None:
    refused = run("grant", *arguments)
    assert refused.exit_code == 2
    assert said in refused.stderr
    assert "sending" not in refused.stderr


def test_a_refund_of_an_event() -> None:
    done("grant", "refunded", "100", "--credit-type", "credit")
    emit(event("refunded", "paid"), event("refunded", "free"))
    would = plain("refund", "paid", "--account", "refunded", "--dry-run")
    (made,) = plain("refund", "paid", "--account", "refunded", "--credits", "5", "--charge", "ip-lookup", "--id", "r1")
    (output,) = made["outputs"]
    assert (output["status"], output["credits"], output["remaining_charge"], output["balance_after"]) == (
        "refunded", 5, 15, 85,
    )  # fmt: skip
    assert would[0]["outputs"][0] | {"credits": 20} == would[0]["outputs"][0], "the dry run changed nothing"
    refused = run("refund", "paid", "--account", "refunded", "--credits", "16")
    assert refused.exit_code == 1
    assert "rejected: event paid: that is more than is left of the charge" in refused.stdout
    nothing = plain("refund", "free", "--account", "refunded", code=1)
    assert nothing[0]["outputs"][0]["reject_reason"] == "nothing_charged"
    unknown = run("refund", "never", "--account", "refunded", "--dry-run")
    assert unknown.exit_code == 1
    assert "would be rejected: event never: the account has no such event" in unknown.stdout
    wait_for_rows("refunded", 2)
    rest = done("refund", "paid")  # ClickHouse knows whose it is
    assert "refunded: event paid, ip-lookup: 15 credits (the whole charge); balance 100 credits" in rest.stdout
    same = ("refund", "paid", "--account", "refunded", "--credits", "5", "--charge", "ip-lookup", "--id", "r1")
    (repeated,) = plain(*same)
    assert (repeated["repeated"], repeated["repeat_of"]["differences"]) == (True, [])
    other = run("refund", "paid", "--account", "refunded", "--id", "r1")
    assert other.exit_code == 1
    assert "the same id with other content: charge nothing instead of ip-lookup, credits nothing" in other.stdout
    again = done(*same).stdout
    assert re.search(r"the first time, \d{4}-\d\d-\d\dT[\d:.]+Z: refunded ip-lookup: 5 credits$", again, re.MULTILINE)


def test_a_refund_of_a_call() -> None:
    call = {"request_id": "bulk"}
    mine = [event("caller", f"c{n}", ip=f"192.0.2.{n}", **call) for n in range(3)]
    emit(*mine, event("caller", "twin", ip="192.0.2.1", **call), event("other", "c1", **call))
    wait_for_rows("caller", 4)
    wait_for_rows("other", 1)
    whose = run("refund", "--request-id", "bulk")
    assert (whose.exit_code, whose.stdout) == (1, "")
    assert "Several accounts have request_id 'bulk': caller, other. Say which" in whose.stderr
    would = done("refund", "--request-id", "bulk", "--account", "caller", "--dry-run")
    assert [line.split(",")[0] for line in would.stdout.splitlines()] == [
        f"would be refunded: event c{n}" for n in range(3)
    ]
    assert "60 credits would be refunded in 3 requests; 0 rejected, 0 repeated" in would.stderr
    made = done("refund", "--request-id", "bulk", "--account", "caller")
    assert "60 credits refunded in 3 requests; 0 rejected, 0 repeated" in made.stderr
    assert "left out: events of the call that cost nothing: 1" in made.stderr
    again = plain("refund", "--request-id", "bulk", "--account", "caller")
    assert [output["repeated"] for output in again] == [True] * 3
    assert len({output["id"] for output in again}) == 3
    nothing = run("refund", "--request-id", "bulk", "--account", "caller", "--charge", "pageview")
    assert "Nothing was charged for pageview by the 4 events" in nothing.stderr
    assert run("refund", "c1", "--request-id", "bulk").exit_code == 2


def test_settings_are_changed_from_what_they_are() -> None:
    first = done("account", "set", "kept", "--plan", "team", "--started-at", "2026-01-01", "--alert-below", "credit=50")
    assert "changed      plan: none -> team from 2026-01-01T00:00:00Z" in first.stdout
    (second,) = plain("account", "set", "kept", "--on-empty", "reject", "--ends-at", "2027-01-01")
    assert second["before"]["on_empty"] == "allow"
    assert second["after"] == {
        "plan": {"name": "team", "started_at": 1_767_225_600_000, "ends_at": 1_798_761_600_000},
        "on_empty": "reject",
        "alert_below": {"credit": 50},
    }
    same = done("account", "set", "kept", "--on-empty", "reject")
    assert "Already so: nothing was sent." in same.stderr
    done("grant", "kept", "60", "--credit-type", "credit")
    emit(event("kept", "e"))
    story = done("account", "set", "kept", "--no-plan", "--alert-below", "credit=30", "--no-alert-below", "email")
    assert story.stdout.splitlines()[-3:] == ["plan         none", "on empty     reject", "alert below  credit 30"]
    wrong = run("account", "set", "kept", "--alert-below", "credit", "--alert-below", "=4")
    assert wrong.exit_code == 2
    assert "'--alert-below': 'credit' is not like credit=100; '=4' is not like credit=100" in wrong.stderr


def test_two_people_change_settings_at_once() -> None:
    with opened(load().settings) as pipeline, opened_replay(pipeline, "contested") as both:
        both.run()
        done("account", "set", "contested", "--on-empty", "reject")
        update = SettingsUpdate(both, SettingsChange(plan="team", started_at=1_767_225_600_000, marks={}), "mine")
        made = update.make(30)
        assert (made.seen.on_empty, made.replaced.on_empty, made.after.on_empty) == ("allow", "reject", "allow")
        assert str(made.after.plan) == "team from 2026-01-01T00:00:00Z"


def test_dead_letters_become_lines_after_a_fix(pipeline: Path) -> None:
    now = time.time_ns() // 1_000_000
    with opened(load().settings) as cluster:
        with CommandProducer(cluster.address, cluster.names, cluster.codec, producer="api-1") as producer:
            producer.add(event("late", "early", occurred_at=now + 420_000, quantities={}, attributes={}))
            producer.add(event("late", "wrong", ip="nowhere", quantities={}, attributes={}))
        cluster.results.wait_until_decided(dict.fromkeys(range(2), 0), 30)
    letters = {letter["id"]: letter for letter in wait_for_letters("late", 2)}
    early, wrong = letters["early"]["place"], letters["wrong"]["place"]
    assert (letters["early"]["reason"], letters["wrong"]["field"]) == ("in_future", "ip")
    assert [letter["replays"] for letter in letters.values()] == [[], []]

    still = run("dead-letters", "replay", early)
    assert still.exit_code == 1
    assert f"{early}: to " in still.stdout
    assert "set aside again: in_future" in still.stdout
    (pipeline / "patient.yaml").write_text(f"limits: {{accept_window: 35d, future_skew: 10m}}\n{BOOK}")
    done("prices", "publish", "patient.yaml")
    fixed = done("dead-letters", "replay", "--reason", "in_future", "--account", "late")
    assert "left out because replayed before: 1" in fixed.stderr, "the first letter; its replay's own is sent"
    assert fixed.stdout.rstrip().endswith("charged 20 credit")
    assert "0 sent" in done("dead-letters", "replay", "--reason", "in_future", "--account", "late").stderr

    corrected = pipeline / "letter.json"
    shown = done("dead-letters", "show", "--json", wrong).stdout
    corrected.write_text(shown.replace('"nowhere"', '"still nowhere"').replace('"/v1/ip-lookup"', "7"))
    refused = run("dead-letters", "replay", wrong, "--corrected", corrected)
    assert refused.exit_code == 2
    assert "events[0].endpoint: is 7" in refused.stderr
    assert 'events[0].ip: is "still nowhere", should be an IPv4 or IPv6 address' in refused.stderr
    (sent,) = [
        json.loads(line)
        for line in done(
            "dead-letters", "replay", wrong, "--corrected", "-", "--json", stdin=shown.replace("nowhere", "192.0.2.9")
        ).stdout.splitlines()
    ]
    assert (sent["place"], sent["outcome"], sent["corrected"]) == (wrong, "accepted", True)
    assert sent["outputs"][0]["credits"] == 20

    letters = {letter["place"]: letter for letter in wait_for_letters("late", 3)}
    assert [replay["outcome"] for replay in letters[wrong]["replays"]] == ["accepted"]
    assert [replay["outcome"] for replay in letters[early]["replays"]] == ["dead_letter", "accepted"]
    assert "corrected, to " in done("dead-letters", "show", wrong).stdout
    assert "charged 20 credit" in done("dead-letters", "list", "--account", "late").stdout
    assert "no dead letters that fit" in done("dead-letters", "list", "--account", "late", "--open").stderr
    counts = {row["reason"]: row for row in plain("dead-letters", "list", "--account", "late", "--counts")}
    assert (counts["in_future"]["count"], counts["in_future"]["accepted"]) == (2, 2)
    assert counts["invalid_event"]["producer"] == "api-1"
    assert counts["invalid_event"]["open"] == 0


def wait_for_letters(account: str, count: int) -> list[dict[str, Any]]:
    """The account's dead letters, once there are so many and the worker has acknowledged each of their replays."""
    deadline = time.monotonic() + 30
    while True:
        letters = plain("dead-letters", "list", "--account", account)
        replays = [replay for letter in letters for replay in letter["replays"]]
        if len(letters) >= count and all(replay["outcome"] != "undecided" for replay in replays):
            break
        assert time.monotonic() < deadline
    assert len(letters) == count
    return letters


def test_status_and_what_happens_without_a_worker(running: WorkerAndLoader) -> None:
    emit(event("seen", "e"))
    deadline = time.monotonic() + 30
    while True:
        (well,) = plain("status")
        if well["loading"]["began"] and not well["rating"]["behind"]:
            break
        assert time.monotonic() < deadline
    assert well["problems"] == []
    assert (well["rating"]["processes"], well["loading"]["processes"]) == (1, 1)
    assert well["books"][0]["partitions"] == 2
    assert sum(partition["to_rate"] for partition in well["input"]) == 0
    assert "embedded, in " in done("status").stdout
    running.stop()
    undecided = run("grant", "patient", "5", "--credit-type", "credit", "--id", "p1", "--wait", "0.2")
    assert undecided.exit_code == 1
    assert "The command is in the log there and will be decided when a worker runs" in undecided.stderr
    (ill,) = plain("status", "--no-book", code=1)
    assert any(problem.startswith("no worker runs") for problem in ill["problems"])
    assert any(problem.startswith("no loader runs") for problem in ill["problems"])
    (waiting,) = [partition for partition in ill["input"] if partition["to_rate"]]
    assert (waiting["to_rate"], waiting["waiting_since"] > 10**12) == (1, True)
    assert ill["books"] is None
