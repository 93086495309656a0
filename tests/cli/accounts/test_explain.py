"""`creditmeter explain` on a real broker, worker and loader: where it looks, and when the bill says something else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Producer

from cli.main import main
from local.shared import SharedKafka
from streams.log.partitioner import partition_of
from streams.log.reader import KafkaReader
from streams.log.seals import Sealer
from tests.command import BOOK
from tests.harness import Pipeline

pytestmark = pytest.mark.kafka

Run = Callable[..., Result]
AT = 1_767_312_000_000
HOUR, DAY = 3_600_000, 86_400_000
LOOKUP = {"account_id": "acme", "endpoint": "/v1/ip-lookup", "channel": "api", "ip": "192.0.2.1"}
OTHERS = 2_000


def sent() -> list[dict[str, Any]]:
    grant = {"type": "grant", "account_id": "acme", "credit_type": "credit", "granted_at": AT}
    return [
        grant | {"grant_id": "g", "credits": 100},
        LOOKUP | {"event_id": "paid", "occurred_at": AT},
        *(
            {**LOOKUP, "account_id": f"other-{n % 50}", "event_id": f"o{n}", "occurred_at": AT + n}
            for n in range(OTHERS)
        ),
        LOOKUP | {"event_id": "free", "occurred_at": AT + HOUR},
        LOOKUP | {"event_id": "free", "occurred_at": AT + HOUR},
        LOOKUP | {"event_id": "both", "occurred_at": AT + 2 * DAY},
        LOOKUP | {"event_id": "both", "occurred_at": AT + 2 * DAY, "account_id": "other-1"},
        LOOKUP | {"event_id": "late", "occurred_at": AT - 40 * DAY},
        {"type": "refund", "refund_id": "r", "account_id": "acme", "event_id": "paid", "requested_at": AT + 3 * DAY},
    ]


@pytest.fixture(scope="module")
def pipeline(kafka: SharedKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """A pipeline with everything sent, rated and loaded, and a dead letter in a partition that is not its account's."""
    running = Pipeline(kafka.bootstrap, kafka.fresh_prefix(), tmp_path_factory.mktemp("explain"), partitions=2)
    with closing(running):
        running.start("worker")
        running.start("loader")
        (running.folder / "book.yaml").write_text(BOOK)
        config = ["--config", str(running.folder / "one" / "worker.toml")]
        text = "\n".join(map(json.dumps, sent()))
        for arguments, sent_text in (
            (["prices", "publish", str(running.folder / "book.yaml")], None),
            (["emit"], text),
        ):
            result = CliRunner().invoke(main, [*config, *arguments], input=sent_text)
            assert result.exit_code == 0, result.stderr
        lost = dict.fromkeys(("request_id", "actor", "user_id", "domain", "plan"))
        lost |= LOOKUP | {"event_id": "lost", "occurred_at": AT, "outcome": "processed"}
        lost |= {"quantities": {}, "attributes": {}}
        value = running.codec.encode("RequestBatch", {"events": [lost]})
        running.send([(1 - partition_of("acme", 2), 0, value)])
        running.wait_until_rated()
        running.wait_until_loaded()
        yield running


@pytest.fixture
def explain(pipeline: Pipeline, run: Run) -> Run:
    """`explain` where ClickHouse answers."""
    return lambda *arguments: run("--config", pipeline.folder / "one" / "loader.toml", "explain", *arguments)


@pytest.fixture
def without_clickhouse(pipeline: Pipeline, run: Run, tmp_path: Path) -> Run:
    """`explain` on a machine that reaches Kafka alone."""
    config = tmp_path / "elsewhere.toml"
    config.write_text(
        f'bootstrap_servers = "{pipeline.bootstrap}"\ntopic_prefix = "{pipeline.names.prefix}"\nquery_port = 9\n'
    )
    return lambda *arguments: run("--config", config, "explain", *arguments)


def told(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.stderr
    explained: dict[str, Any] = json.loads(result.stdout)
    return explained


def test_a_charge_with_its_refund(explain: Run) -> None:
    explained = told(explain("paid", "--json"))
    (line,) = explained["lines"]
    assert (explained["account_id"], explained["became"], explained["credits"]) == ("acme", "accepted", {"credit": 20})
    assert (line["balance_before"], line["line"]["balance_after"], line["draws"][0]["grant_id"]) == (100, 80, "g")
    assert [refund["became"] for refund in explained["refunds"]] == ["refunded"]
    assert explained["refunds"][0]["outputs"][0]["remaining_charge"] == 0
    assert explained["compared"] == {"billed": "agrees", "clickhouse": "agrees", "differences": []}
    assert (explained["now"]["charged"], explained["now"]["credits"]) == (True, {"credit": 20})
    text = explain("paid")
    assert text.exit_code == 0
    assert text.stdout.startswith("Event paid of account acme: charged 20 credits.\n")
    assert "Refund r at 2026-01-05T00:00:00Z: 20 credits given back for ip-lookup: all of the charge" in text.stdout
    assert "Compared with the bill: the billed topic says the same; ClickHouse says the same." in text.stdout


def test_one_reader_of_the_log_serves_a_whole_question(explain: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[KafkaReader] = []
    begin = KafkaReader.__init__

    def counted(self: KafkaReader, *arguments: Any, **options: Any) -> None:
        made.append(self)
        begin(self, *arguments, **options)

    monkeypatch.setattr(KafkaReader, "__init__", counted)
    assert explain("paid").exit_code == 0
    assert len(made) == 1


def test_a_free_one_with_its_owner_and_its_repeat(explain: Run, without_clickhouse: Run) -> None:
    explained = told(explain("free", "--json"))
    (line,) = explained["lines"]
    assert (explained["credits"], line["line"]["decision"]) == ({}, "duplicate")
    assert line["unique"]["owner"] == {"event_id": "paid", "occurred_at": AT, "ends_at": AT + DAY}
    assert explained["owners"]["paid"]["offset"] <= explained["place"]["offset"]
    assert [arrival["became"] for arrival in explained["other_arrivals"]] == ["repeated"]
    slow = told(without_clickhouse("free", "--account", "acme", "--json"))
    assert slow.pop("compared") == {"billed": "agrees", "clickhouse": "not_asked", "differences": []}
    assert slow.pop("now")["charged"] == explained.pop("now")["charged"]
    assert explained.pop("compared")["clickhouse"] == "agrees"
    assert slow == explained


def test_several_accounts_have_the_id(explain: Run) -> None:
    result = explain("both")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "2 accounts have an event 'both'; say which with --account:\n  acme\n  other-1" in result.stderr
    assert told(explain("both", "--account", "other-1", "--json"))["account_id"] == "other-1"


def test_dead_letters(explain: Run, without_clickhouse: Run) -> None:
    late = told(explain("late", "--json"))
    assert (late["became"], late["refusal"]["reason"], late["credits"]) == ("dead_letter", "too_late", {})
    assert late["refusal"]["earliest"] == AT + 2 * DAY - 35 * DAY
    lost = explain("lost")
    assert lost.exit_code == 0
    assert "Event lost of account acme: not accepted, so that nothing was charged; it is a dead letter." in lost.stdout
    assert "wrong_partition" in lost.stdout
    wrong, right = 1 - partition_of("acme", 2), partition_of("acme", 2)
    assert f"  Found in partition {wrong}" in lost.stdout
    assert f"account acme belongs in partition {right} of 2" in lost.stdout
    assert "librdkafka: partitioner=murmur2_random" in lost.stdout
    assert "`creditmeter dead-letters replay" in lost.stdout
    again = told(without_clickhouse("lost", "--account", "acme", "--json"))
    assert [letter["reason"] for letter in again["dead_letters"]] == ["wrong_partition"]
    assert "murmur2_random" in again["dead_letters"][0]["hint"]


def test_an_event_that_is_nowhere(explain: Run, without_clickhouse: Run) -> None:
    for result in (
        explain("none"),
        explain("none", "--account", "acme"),
        without_clickhouse("none", "--account", "nobody"),
    ):
        assert (result.exit_code, result.stdout) == (1, "")
        assert "There is no event none" in result.stderr
        assert "creditmeter config" in result.stderr
    unasked = without_clickhouse("paid")
    assert unasked.exit_code == 1
    assert "Without ClickHouse, say whose event it is: --account" in unasked.stderr


def test_a_bill_that_says_something_else_is_cried_out(pipeline: Pipeline, explain: Run) -> None:
    """Somebody who has the seal key writes an event's line into the billed topic, before a worker has decided it."""
    pipeline.stop("worker")
    late = LOOKUP | {"event_id": "forged", "occurred_at": AT + 5 * DAY, "ip": "192.0.2.77"}
    config = str(pipeline.folder / "one" / "worker.toml")
    assert CliRunner().invoke(main, ["--config", config, "emit"], input=json.dumps(late)).exit_code == 0
    waiting = told(explain("forged", "--account", "acme", "--json"))
    assert waiting["compared"]["billed"] == "not_yet"
    line = waiting["lines"][0]["line"] | {"credits": 4_242}
    place = waiting["place"]
    value = pipeline.codec.encode_parts("BilledBatch", place["partition"], place["offset"], [line])[0]
    producer = Producer({"bootstrap.servers": pipeline.bootstrap})
    topic, partition = pipeline.names.billed, place["partition"]
    seal = Sealer(pipeline.seal_keys.present).seal(topic, partition, value)
    producer.produce(topic, value, partition=partition, headers={"seal": seal})
    assert producer.flush(10) == 0
    pipeline.start("worker")
    pipeline.wait_until_rated()
    result = explain("forged", "--account", "acme")
    assert result.exit_code == 1
    assert "THE BILL DIFFERS FROM THE LOG" in result.stderr
    assert "line 0: credits is 4242, and explained 20" in result.stderr
    assert "creditmeter audit" in result.stderr
    assert "Event forged of account acme: charged 20 credits." in result.stdout
    assert "the billed topic SAYS SOMETHING ELSE" in result.stdout
