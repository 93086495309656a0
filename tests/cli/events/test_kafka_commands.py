"""The commands that talk to Kafka, against a broker: emit, prices publish and diff, dead-letters."""

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from confluent_kafka import Producer

from application.configuration.sources import load
from application.dead_letters.resent import REPLAY_HEADER
from application.pipeline import Pipeline, opened
from local.shared import SharedKafka
from metering import MemoryStore, State
from schemas.price_book import read_book
from streams.log.command_producer import CommandProducer
from streams.log.partitioner import partition_of
from streams.rating.deciding import apply_message
from streams.rating.outputs import encoded, topics_by_kind
from streams.rating.partition import Wiring
from tests.command import BOOK

pytestmark = pytest.mark.kafka

Run = Callable[..., Result]
EVENT = {"account_id": "acme", "occurred_at": 1_767_312_000_000, "endpoint": "/v1/pageview", "channel": "js"}


@pytest.fixture
def cluster(kafka: SharedKafka, run: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    """A pipeline of the test's own, which the command is configured for."""
    monkeypatch.setenv("CREDITMETER_BOOTSTRAP_SERVERS", kafka.bootstrap)
    monkeypatch.setenv("CREDITMETER_TOPIC_PREFIX", kafka.fresh_prefix())
    monkeypatch.setenv("CREDITMETER_PARTITIONS", "3")
    with opened(load().settings) as made:
        yield made


def messages(cluster: Pipeline, topic: str) -> list[tuple[int, bytes]]:
    log = cluster.log(topic)
    return [
        (partition, message.value) for partition in range(3) for message in log.read(partition, *log.bounds(partition))
    ]


def events(cluster: Pipeline) -> list[dict[str, Any]]:
    sent = [value for _, value in messages(cluster, cluster.names.requests) if value != b"poison"]
    decoded = [cluster.codec.decode_command(value) for value in sent]
    return [event for name, record in decoded if name == "request" for event in record["events"]]


def test_emit_makes_the_topics_and_sends_in_order(run: Run, cluster: Pipeline) -> None:
    lines = [json.dumps(EVENT | {"event_id": f"e{number}", "account_id": f"a{number % 7}"}) for number in range(2_000)]
    result = run("emit", stdin="\n".join(lines) + "\n")
    assert result.exit_code == 0, result.stderr
    assert "2,000 sent and acknowledged, 0 bad lines" in result.stderr
    sent = events(cluster)
    assert Counter(event["event_id"] for event in sent) == Counter(f"e{number}" for number in range(2_000))
    for account in range(7):
        numbers = [int(event["event_id"][1:]) for event in sent if event["account_id"] == f"a{account}"]
        assert numbers == sorted(numbers)


def test_emit_sends_every_kind_of_command(run: Run, cluster: Pipeline) -> None:
    commands = [
        EVENT | {"event_id": "e"},
        {
            "type": "grant",
            "grant_id": "g",
            "account_id": "acme",
            "credit_type": "c",
            "credits": 5,
            "granted_at": 10**12,
        },
        {"type": "refund", "refund_id": "r", "account_id": "acme", "event_id": "e", "requested_at": 10**12},
        {"type": "account", "update_id": "u", "account_id": "acme", "on_empty": "reject", "at": 10**12},
    ]  # fmt: skip
    assert run("emit", stdin="\n".join(map(json.dumps, commands)) + "\n").exit_code == 0
    names = [cluster.codec.decode_command(value)[0] for _, value in messages(cluster, cluster.names.requests)]
    assert names == ["request", "grant", "refund", "account"]


def test_emit_without_kafka_says_what_to_do(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run("emit", stdin=json.dumps(EVENT | {"event_id": "e"}))
    assert result.exit_code == 2
    assert "creditmeter up" in result.stderr


def test_publish_again_and_another(run: Run, cluster: Pipeline, book: Path, tmp_path: Path) -> None:
    cluster.ensure_topics()
    assert "none was ever published" in run("prices", "diff", "--published", book).stderr
    first = run("prices", "publish", "--json", book)
    assert first.exit_code == 0, first.stderr
    assert json.loads(first.stdout)["written"] == 3
    again = run("prices", "publish", book)
    assert again.exit_code == 0
    assert "Already in force in all 3 partitions" in again.stderr
    assert run("prices", "diff", "--published", book).stdout == ""
    dearer = tmp_path / "dearer.yaml"
    dearer.write_text(BOOK.replace("credits: 20", "credits: 21"))
    assert "credits: 20 -> 21" in run("prices", "diff", "--published", dearer).stdout
    refused = run("prices", "publish", dearer)
    assert refused.exit_code == 1
    assert "would change prices in force" in refused.stderr
    assert "credits" in refused.stderr
    assert len(messages(cluster, cluster.names.requests)) == 3


def rate_everything(cluster: Pipeline) -> None:
    """What a worker would make of the input, sent to the outputs."""
    commands, out = cluster.log(cluster.names.requests), cluster.connections.output_log()
    wiring = Wiring(cluster.names, 3, cluster.codec, read_book, commands, out)
    for partition in range(3):
        state = State(MemoryStore(), read_book)
        for message in commands.read(partition, *commands.bounds(partition)):
            outputs = apply_message(wiring, state, message)
            for topic, _, value in encoded(
                cluster.codec, topics_by_kind(cluster.names), outputs, partition, message.offset
            ):
                out.send(topic, partition, value)
    out.wait()


def test_dead_letters_are_listed_shown_and_replayed(run: Run, cluster: Pipeline, book: Path) -> None:
    run("prices", "publish", book)
    bad = EVENT | {"event_id": "bad", "outcome": "processed", "ip": "nowhere"}
    with CommandProducer(cluster.address, cluster.names, cluster.codec, producer="api-1") as producer:
        producer.add(EVENT | {"event_id": "good", "outcome": "processed"})
        producer.add(bad)
    out = cluster.connections.output_log()
    out.send(cluster.names.requests, 0, b"poison")
    out.wait()
    assert "There are no dead letters" in run("dead-letters", "list").stderr
    rate_everything(cluster)

    listed = [json.loads(line) for line in run("dead-letters", "list", "--json").stdout.splitlines()]
    assert {(letter["reason"], letter["producer"], letter["id"]) for letter in listed} == {
        ("undecodable", None, None),
        ("invalid_event", "api-1", "bad"),
    }
    table = run("dead-letters", "list", "--reason", "invalid_event").stdout
    assert "api-1" in table
    assert "undecodable" not in table

    place = next(letter["place"] for letter in listed if letter["id"] == "bad")
    shown = run("dead-letters", "show", place)
    assert '"ip": "nowhere"' in shown.stdout
    assert "00000000  c3 01" in shown.stdout
    as_json = json.loads(run("dead-letters", "show", "--json", place).stdout)
    assert as_json["decoded"]["record"]["events"][0]["event_id"] == "bad"

    before = len(messages(cluster, cluster.names.requests))
    assert "1 would be sent" in run("dead-letters", "replay", "--dry-run", place).stderr
    assert len(messages(cluster, cluster.names.requests)) == before
    replayed = run("dead-letters", "replay", "--wait", "0", place)
    assert replayed.exit_code == 0, replayed.stderr
    assert "1 sent and acknowledged" in replayed.stderr
    assert [event["event_id"] for event in events(cluster)].count("bad") == 2
    assert headers(cluster, place) == {"creditmeter-producer": b"api-1", REPLAY_HEADER: place.encode()}


def test_the_newest_dead_letters_are_listed_first(run: Run, cluster: Pipeline, book: Path) -> None:
    """The newest stand in the lowest partition, so that the order of reading hides them."""
    run("prices", "publish", book)
    out = cluster.connections.output_log()
    for partition in (2, 2, 2, 1, 1, 0):
        out.send(cluster.names.requests, partition, b"poison")
        out.wait()
        time.sleep(0.005)  # a record's time is in milliseconds
    rate_everything(cluster)
    newest = run("dead-letters", "list", "--limit", "3")
    assert re.findall(r"\d@\d", newest.stdout) == ["0@1", "1@2", "1@1"]
    assert "3 more: --limit 6 lists all." in newest.stdout
    assert "more: --limit" not in run("dead-letters", "list").stdout
    assert "6 more: --limit 6 lists all." in run("dead-letters", "list", "--limit", "0").stdout

    as_json = run("dead-letters", "list", "--limit", "2", "--json")
    assert [json.loads(line)["place"] for line in as_json.stdout.splitlines()] == ["0@1", "1@2"]
    assert "4 more: --limit 6 lists all." in as_json.stderr
    everything = run("dead-letters", "list", "--json")
    assert [json.loads(line)["place"] for line in everything.stdout.splitlines()] == [
        "0@1", "1@1", "1@2", "2@1", "2@2", "2@3"
    ]  # fmt: skip
    assert "more" not in everything.stderr


def test_a_producer_with_librdkafkas_own_partitioner_is_told_the_setting(
    run: Run, cluster: Pipeline, book: Path
) -> None:
    run("prices", "publish", book)
    producer = Producer({"bootstrap.servers": cluster.address})
    for number in range(12):
        account = f"customer-{number}"
        event = EVENT | {"event_id": f"e{number}", "account_id": account, "outcome": "processed"}
        value = cluster.codec.encode("RequestBatch", {"events": [event]})
        producer.produce(cluster.names.requests, value, key=account.encode())
    assert producer.flush(20) == 0
    rate_everything(cluster)
    letters = [json.loads(line) for line in run("dead-letters", "list", "--json").stdout.splitlines()]
    assert {letter["reason"] for letter in letters} == {"wrong_partition"}
    for letter in letters:
        right = partition_of(letter["account_id"], 3)
        assert f"where librdkafka's default partitioner puts it; account {letter['account_id']}" in letter["hint"]
        assert f"belongs in partition {right} of 3: " in letter["hint"]
        assert letter["hint"] in run("dead-letters", "show", letter["place"]).stdout
    listed = run("dead-letters", "list").stdout
    assert "partitioner=murmur2_random" in listed
    assert "dead-letters replay --reason wrong_partition" in listed


def headers(cluster: Pipeline, place: str) -> dict[str, bytes]:
    from streams.log.reader import KafkaReader

    reader = KafkaReader(cluster.address)
    partition = int(place.partition("@")[0])
    message = reader.last(cluster.names.requests, partition, lambda _: True)
    reader.close()
    assert message is not None
    return dict(message.headers() or [])  # type: ignore[arg-type]


def test_wrong_places(run: Run, cluster: Pipeline, book: Path) -> None:
    run("prices", "publish", book)
    assert run("dead-letters", "show", "nonsense").exit_code == 2
    assert run("dead-letters", "show", "0@99").exit_code == 1
    assert run("dead-letters", "replay").exit_code == 2
    assert run("dead-letters", "replay", "--reason", "too_late", "0@1").exit_code == 2


@pytest.mark.slow
def test_a_broker_that_does_not_answer_fails(run: Run, monkeypatch: pytest.MonkeyPatch, book: Path) -> None:
    monkeypatch.setenv("CREDITMETER_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    result = run("dead-letters", "list")
    assert result.exit_code == 1
    assert "127.0.0.1:1" in result.stderr
