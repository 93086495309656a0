"""`creditmeter estimate`: what it says of a job is what the job is then charged, by a real worker on a real broker."""

import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from streams.log.input_log import KafkaInputLog
from streams.log.partitioner import partition_of
from streams.state.read_only import StateView
from tests.harness import Pipeline

pytestmark = pytest.mark.kafka

Run = Callable[..., Result]
Job = list[dict[str, Any]]
AT = 1_767_312_000_000
HOUR = 3_600_000
DAY = 24 * HOUR


def request(event_id: str, at: int, **fields: Any) -> dict[str, Any]:
    return {"event_id": event_id, "occurred_at": at, "endpoint": "/v1/ip-lookup", "channel": "api"} | fields


def grant(grant_id: str, credit_type: str, credits_: int, expires_at: int | None = None) -> dict[str, Any]:
    more = {"type": "grant", "grant_id": grant_id, "granted_at": AT, "expires_at": expires_at}
    return more | {"credit_type": credit_type, "credits": credits_}


def history(on_empty: str) -> Job:
    return [
        {"type": "account", "update_id": "u", "on_empty": on_empty, "at": AT},
        grant("short", "credit", 60, AT + 2 * DAY),
        grant("long", "credit", 2_000),
        grant("mails", "email", 40),
        *(request(f"old-{n}", AT + n, ip=f"192.0.2.{n}") for n in range(5)),
        *(request(f"old-company-{n}", AT + n, endpoint="/v1/company", domain=f"c{n}.example") for n in range(3)),
    ]


def job(seed: int) -> Job:
    """Every decision: duplicates and repeats of both kinds, late and bad events, a grant and refunds in the middle."""
    rng = random.Random(seed)
    made: Job = []
    for n in range(400):
        at = AT + HOUR + n * HOUR // 4
        event = request(f"new-{n}", at, ip=f"192.0.2.{rng.randrange(12)}", domain=f"c{rng.randrange(9)}.example")
        event["endpoint"] = rng.choice(("/v1/ip-lookup", "/v1/company", "/v1/company/mail", "/v1/pageview", "/other"))
        event["quantities"] = {"emails": rng.randrange(3)}
        event["outcome"] = rng.choice(("processed",) * 9 + ("failed",))
        made.append(event)
        if rng.random() < 0.1:
            made.append(event if rng.random() < 0.5 else request(f"old-{rng.randrange(5)}", AT, ip="192.0.2.1"))
    made.insert(100, {"type": "refund", "refund_id": "r-old", "event_id": "old-0", "requested_at": AT + DAY})
    made.insert(150, {"type": "refund", "refund_id": "r-none", "event_id": "none", "requested_at": AT + DAY})
    made.insert(200, grant("more", "email", 25))
    made.insert(250, request("bad", AT + DAY, ip="nowhere"))
    made.insert(300, request("late", AT - 60 * DAY))
    return made


def of(account_id: str, commands: Job) -> str:
    return "\n".join(json.dumps({"account_id": account_id} | command) for command in commands)


def estimate(run: Run, account_id: str, text: str, *options: str | Path) -> dict[str, Any]:
    result = run("estimate", "--account", account_id, "--json", *options, stdin=text)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)  # type: ignore[no-any-return]


def send(run: Run, pipeline: Pipeline, text: str) -> None:
    assert run("emit", stdin=text).exit_code == 0
    pipeline.wait_until_rated()


def outputs(pipeline: Pipeline, topic: str, account_id: str, first: int) -> Job:
    """The account's outputs that input offsets from `first` on caused."""
    partition, lines = partition_of(account_id, pipeline.partitions), []
    log = KafkaInputLog(pipeline.bootstrap, topic)
    for message in log.read(partition, *log.bounds(partition)):
        _, batch = pipeline.codec.decode(message.value)
        items = next(value for value in batch.values() if isinstance(value, list))
        lines += [line for line in items if line["account_id"] == account_id and batch["source_offset"] >= first]
    log.close()
    return lines


def end(pipeline: Pipeline, account_id: str) -> int:
    log = KafkaInputLog(pipeline.bootstrap, pipeline.names.requests)
    try:
        return log.bounds(partition_of(account_id, pipeline.partitions))[1]
    finally:
        log.close()


def show(run: Run, account_id: str) -> dict[str, Any]:
    return json.loads(run("account", "show", account_id, "--json", "--lines", "0").stdout)  # type: ignore[no-any-return]


def charged(lines: Job, job_ids: set[str]) -> dict[Any, Any]:
    """By (charge, credit type): what `estimate` says, told from the lines that were really billed."""
    charges: dict[Any, Any] = {}
    for line in lines:
        new = {"lines": 0, "decisions": Counter(), "credits": 0, "saved": {"in_job": 0, "in_history": 0}, "refused": 0}
        charge = charges.setdefault((line["charge"], line["credit_type"]), new)
        charge["lines"] += 1
        charge["decisions"][line["decision"]] += 1
        charge["credits"] += line["credits"]
        cost = line["units"] * line["unit_credits"]
        if line["decision"] == "duplicate":
            charge["saved"]["in_job" if line["owner_event_id"] in job_ids else "in_history"] += cost
        elif line["decision"] == "insufficient_credits":
            charge["refused"] += cost
    return charges


@pytest.mark.parametrize("on_empty", ["allow", "reject"])
def test_a_job_is_charged_what_was_estimated(here: Run, rated: Pipeline, on_empty: str) -> None:
    account_id = f"estimated-{on_empty}"
    send(here, rated, of(account_id, history(on_empty)))
    before, first, text = show(here, account_id), end(rated, account_id), of(account_id, job(1))

    estimated = estimate(here, account_id, text)
    assert end(rated, account_id) == first, "an estimate sends nothing"
    assert show(here, account_id)["balances"] == before["balances"]
    assert estimate(here, account_id, text) == estimated, "it leaves nothing behind"

    send(here, rated, text)
    lines = outputs(rated, rated.names.billed, account_id, first)
    by_charge = {(charge.pop("charge"), charge.pop("credit_type")): charge for charge in estimated["charges"]}
    assert by_charge == charged(lines, {f"new-{n}" for n in range(400)})
    for side in ("in_job", "in_history"):
        assert sum(charge["saved"][side] for charge in by_charge.values()) > 0
    letters = outputs(rated, rated.names.dead_letters, account_id, first)
    assert [letter["reason"] for letter in letters] == ["too_late"]
    assert estimated["dead_letters"] == {"invalid_event": 1, "too_late": 1}, "`emit` itself holds the bad line back"
    refused = {line["event_id"] for line in lines if line["decision"] == "insufficient_credits"}
    assert estimated["refused_events"] == len(refused)
    assert bool(refused) == (on_empty == "reject")
    assert estimated["suffices"] is False
    check_balances(estimated, here, rated, first)


def check_balances(estimated: dict[str, Any], here: Run, rated: Pipeline, first: int) -> None:
    """Every movement of credits is what the outputs say, and the end is what the account then has."""
    names, account_id = rated.names, estimated["account_id"]
    lines = outputs(rated, names.billed, account_id, first)
    refunds = outputs(rated, names.refunds, account_id, first)
    grants = outputs(rated, names.grants, account_id, first)
    assert estimated["rejected_refunds"] == {"unknown_charge": 1}
    for name, balance in estimated["balances"].items():
        after = show(here, account_id)["balances"][name]
        assert balance["after"] == after["balance"] + after["over"]
        assert balance["charged"] == sum(line["credits"] for line in lines if line["credit_type"] == name)
        assert balance["refunded"] == sum(r["credits"] - r["forfeited"] for r in refunds if r["credit_type"] == name)
        by_status: Counter[str] = Counter()
        for change in (change for change in grants if change["credit_type"] == name):
            by_status[change["status"]] += change["credits"]
        assert (balance["granted"], balance["expired"]) == (by_status["applied"], by_status["expired"])
        moved = balance["granted"] + balance["refunded"] - balance["charged"] - balance["expired"]
        assert balance["before"] + moved == balance["after"]


def test_repeats_are_told_by_where_the_first_one_is(here: Run, rated: Pipeline) -> None:
    send(here, rated, of("repeating", history("allow")))
    sent = Counter(command["event_id"] for command in job(1) if command.get("type") is None)
    estimated = estimate(here, "repeating", of("repeating", job(1)))
    assert estimated["repeats"] == {
        "in_job": sum(count - 1 for event_id, count in sent.items() if event_id.startswith("new-")),
        "in_history": sum(count for event_id, count in sent.items() if event_id.startswith("old-")),
    }
    assert min(estimated["repeats"].values()) > 0


def test_the_workers_state_is_not_touched(here: Run, rated: Pipeline) -> None:
    account_id = "untouched"
    send(here, rated, of(account_id, history("allow")))
    place = partition_of(account_id, 2)
    path = rated.folder / "one" / "data" / "state" / rated.names.requests / str(place)

    def rows() -> list[Any]:
        view = StateView(path)
        try:
            return [row for table in (b"a", b"c", b"e", b"i") for row in view.scan(table)]
        finally:
            view.close()

    before = rows()
    estimate(here, account_id, of(account_id, job(2)))
    assert rows() == before
    assert not list((rated.folder / "one" / "data" / "scratch").iterdir())


def test_plain_requests_of_an_account_that_nobody_knows(here: Run) -> None:
    """No account, no id, no time."""
    line = json.dumps({"endpoint": "/v1/ip-lookup", "channel": "api", "ip": "192.0.2.1"})
    estimated = estimate(here, "new-here", "\n".join([line] * 3))
    (charge,) = estimated["charges"]
    assert (charge["credits"], charge["decisions"]) == (20, {"charged": 1, "duplicate": 2})
    assert charge["saved"] == {"in_job": 40, "in_history": 0}
    assert estimated["without_event_id"] == 3
    assert estimated["balances"]["credit"] == {
        "before": 0, "held": 0, "granted": 0, "refunded": 0, "charged": 20, "expired": 0, "after": -20, "lowest": -20,
        "refused": 0, "suffices": False,
    }  # fmt: skip


def test_for_people(here: Run, rated: Pipeline) -> None:
    account_id = "people"
    send(here, rated, of(account_id, history("reject")))
    shown = here("estimate", "--account", account_id, stdin=of(account_id, job(1)))
    assert shown.exit_code == 0
    text = " ".join(shown.stdout.split())
    assert "Repeats, which cost nothing:" in text
    assert "1 would be set aside: too_late (after the job, nothing before 20" in text
    assert "events would be refused" in text
    assert "is not known yet" not in shown.stderr
    assert "Nothing was sent." in shown.stderr


def test_other_prices(here: Run, tmp_path: Path, book: Path) -> None:
    dearer = tmp_path / "dearer.yaml"
    dearer.write_text(book.read_text().replace("credits: 20", "credits: 33"))
    line = json.dumps({"endpoint": "/v1/ip-lookup", "channel": "api", "ip": "192.0.2.1"})
    assert estimate(here, "new-here", line, "--prices", dearer)["balances"]["credit"]["charged"] == 33
    dearer.write_text("versions: 7")
    assert here("estimate", "--account", "new-here", "--prices", dearer, stdin=line).exit_code == 2


def test_a_line_for_another_account_is_an_error(here: Run) -> None:
    lines = [json.dumps({"endpoint": "/x", "channel": "api"} | more) for more in ({}, {"account_id": "b"})]
    result = here("estimate", "--account", "a", stdin="\n".join(lines))
    assert result.exit_code == 1
    assert "line 2 is for the account 'b', the estimate for 'a'" in result.stderr
    assert not result.stdout


def test_lines_that_are_no_commands_are_counted(here: Run) -> None:
    estimated = estimate(here, "new-here", '{"endpoint": "/v1/pageview", "channel": "js"}\nnot json\n{"type": "what"}')
    assert estimated["dead_letters"] == {"invalid_event": 1, "undecodable": 1}
    assert estimated["commands"] == {"request": 1, "unreadable": 2}
    assert estimated["first_dead_letters"][0] == {"line_number": 2, "reason": "undecodable", "field": None}


def test_a_last_line_without_its_end_counts_where_it_is_whole_and_is_said_where_it_is_cut(here: Run) -> None:
    event = '{"endpoint": "/v1/pageview", "channel": "js"}'
    assert estimate(here, "new-here", f"{event}\n{event}")["commands"] == {"request": 2}
    cut = here("estimate", "--account", "new-here", "--json", stdin=f"{event}\n{event[:-3]}")
    assert json.loads(cut.stdout)["commands"] == {"request": 1}
    assert "line 2 has no end yet and is no whole object: it was left out" in cut.stderr


def test_a_json_array_is_named_and_not_counted(here: Run) -> None:
    result = here("estimate", "--account", "a", stdin='[\n{"endpoint": "/x", "channel": "api"}\n]\n')
    assert (result.exit_code, result.stdout) == (1, "")
    assert "is a JSON array" in result.stderr
