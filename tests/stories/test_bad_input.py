"""What producers and machines do wrong: a dead letter or a clear error, and the bill is right afterwards."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from local.shared import SharedKafka
from metering.records import LAST_INSTANT
from schemas.price_book import book_id
from sinks.embedded import EmbeddedSink
from streams.log.output_log import ordered_config
from streams.log.partitioner import partition_of
from streams.log.topics import TopicNames, TopicSettings
from tests.stories.cluster import BusyTraffic, Cluster, check_store
from tests.streams.traffic import BOOK, HOUR, START, book_command, event

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

PARTITIONS = 4
SEED = 20260714
EMOJI = "\N{PILE OF POO}"
YEAR_3000 = 32_503_680_000_000


@pytest.fixture
def cluster(kafka: SharedKafka, tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(kafka.bootstrap, kafka.fresh_prefix(), tmp_path, BOOK, PARTITIONS)
    yield made
    made.close()


def account_in(partition: int, name: str = "account") -> str:
    """An account whose commands belong into that partition."""
    return next(account_id for n in range(1_000) if partition_of(account_id := f"{name}-{n}", PARTITIONS) == partition)


class Bad(NamedTuple):
    """A message, and the dead letters that it has to come to: (index, reason, field, detail's beginning)."""

    value: bytes | None
    letters: list[tuple[int | None, str, str | None]]
    detail: str = ""


UNDECODABLE: list[tuple[int | None, str, str | None]] = [(None, "undecodable", None)]


def bad_messages(cluster: Cluster, mine: str, stranger: str) -> dict[str, Bad]:
    """One of each kind, for the partition of ``mine``; ``stranger`` belongs to another one."""
    encode = cluster.codec.encode

    def batch(*events: dict[str, Any]) -> bytes:
        return encode("RequestBatch", {"events": list(events)})

    noise = random.Random(SEED).randbytes(10_000_000)
    good = batch(event("whole", mine))
    wrong_book = BOOK.replace("credits: 20", "credits: -20").replace("within: ever", "within: soon")
    letter = {"reason": "undecodable", "field": None, "detail": "", "command": None, "account_id": None, "id": None}
    letter |= {"index": None, "producer": None, "recorded_at": START, "size": 1, "original": b"x"}
    grant = {"grant_id": "g", "account_id": mine, "credit_type": "credit", "credits": 10**13, "granted_at": START}
    return {
        "truncated": Bad(good[:-7], UNDECODABLE, "truncated or damaged body"),
        "only the framing": Bad(good[:10], UNDECODABLE, "truncated or damaged body"),
        "more than a body": Bad(good + b"\x00", UNDECODABLE, "truncated or damaged body"),
        "too many events": Bad(
            encode("RequestBatch", {"events": [event("same", mine)] * 50_001}),
            UNDECODABLE, "more than 50000 events in one batch",
        ),
        "unknown fingerprint": Bad(b"\xc3\x01" + bytes(8) + good[10:], UNDECODABLE, "unknown schema fingerprint"),
        "no registry": Bad(b"\x00\x00\x00\x00\x07" + good[10:], UNDECODABLE, "schema registry message"),
        "JSON": Bad(b'{"event_id": "e"}', UNDECODABLE, "not an Avro message"),
        "10 MB": Bad(noise, UNDECODABLE, "not an Avro message"),
        "empty": Bad(b"", UNDECODABLE, "empty message"),
        "null": Bad(None, UNDECODABLE, "empty message"),
        "empty batch": Bad(batch(), []),
        "an output": Bad(
            encode("DeadLetterBatch", {"source_partition": 0, "source_offset": 0, "part": 0, "parts": 1}
            | {"dead_letters": [letter]}), UNDECODABLE, "not a command record",
        ),
        "times": Bad(
            batch(
                event("zero", mine, occurred_at=0),
                event("between", mine),
                event("seconds", mine, occurred_at=START // 1_000),
                event("3000", mine, occurred_at=YEAR_3000),
                event("old", mine, occurred_at=START - 80 * HOUR),
                event("least", mine, occurred_at=-(2**63)),
                event("most", mine, occurred_at=2**63 - 1),
                event("microseconds", mine, occurred_at=START * 1_000),
                event("9999", mine, occurred_at=LAST_INSTANT),
            ),
            [
                (0, "invalid_event", "occurred_at"),
                (2, "invalid_event", "occurred_at"),
                (3, "in_future", None),
                (4, "too_late", None),
                (5, "invalid_event", "occurred_at"),
                (6, "invalid_event", "occurred_at"),
                (7, "invalid_event", "occurred_at"),
                (8, "in_future", None),
            ],
        ),
        "wrong partition": Bad(
            batch(event("mine", mine), event("strange", stranger)), [(1, "wrong_partition", "account_id")]
        ),
        "fields": Bad(
            batch(
                event("", mine),
                event("x" * 129, mine),
                event("no account", ""),
                event("ip", mine, ip="999.1.1.1"),
                event("domain", mine, domain="nowhere"),
                event("quantity", mine, quantities={"emails": -1}),
                event("attribute", mine, attributes={"a": "x" * 1_025}),
            ),
            [
                (index, "invalid_event", field)
                for index, field in enumerate(
                    ("event_id", "event_id", "account_id", "ip", "domain", "quantities", "attributes")
                )
            ],
        ),
        "a book with mistakes": Bad(
            encode("PriceBook", book_command(wrong_book, START)), [(None, "invalid_event", "yaml")]
        ),
        "a book with another's id": Bad(
            encode("PriceBook", {"book_id": book_id("other"), "yaml": BOOK, "published_at": START}),
            [(None, "invalid_event", "book_id")],
        ),
        "too large a grant": Bad(
            encode("Grant", grant | {"expires_at": None, "reason": ""}), [(None, "invalid_event", "credits")]
        ),
    }  # fmt: skip


def test_every_kind_of_bad_message(cluster: Cluster, tmp_path: Path) -> None:
    """Between the bad ones stand good events, and each is charged; so it is with a state made anew from that log."""
    mine, stranger = account_in(0), account_in(1)
    odd = f"a\0{EMOJI}"
    names = [odd, EMOJI * 128, "\0", " ", "'; DROP TABLE billed_rows; --", "\u202e", "\uffff"]
    batch = {"events": [event(name, mine, actor=name, attributes={name: name}) for name in names]}
    strange = account_in(2, odd)
    sent = [
        (partition, 0, cluster.codec.encode("PriceBook", book_command(BOOK, START))) for partition in range(PARTITIONS)
    ]
    cluster.send(sent)
    bad = bad_messages(cluster, mine, stranger)
    producer = Producer(ordered_config(cluster.bootstrap, None))
    for number, value in enumerate(bad.values()):
        producer.produce(cluster.names.requests, value.value, partition=0)
        good = cluster.codec.encode("RequestBatch", {"events": [event(f"good-{number}", mine)]})
        producer.produce(cluster.names.requests, good, partition=0)
    assert producer.flush(30) == 0
    many = [event(f"many-{n}", mine, occurred_at=START + n % 1_000, ip="192.0.2.1") for n in range(50_000)]
    cluster.send(
        [
            (0, 0, cluster.codec.encode("RequestBatch", batch)),
            (2, 0, cluster.codec.encode("RequestBatch", {"events": [event(odd, strange)]})),
            (0, 0, cluster.codec.encode("RequestBatch", {"events": many})),
        ]
    )
    for name in ("worker", "loader"):
        cluster.start_with(name)
    cluster.wait_until_rated()
    cluster.stop("worker")

    shutil.rmtree(tmp_path / "one" / "data" / "state")  # all of it is read once more, without output
    cluster.send([(0, 0, cluster.codec.encode("RequestBatch", {"events": [event("last", mine), *many[:10]]}))])
    cluster.start_with("worker")
    cluster.wait_until_rated()
    cluster.wait_until_loaded()
    cluster.stop("worker")
    cluster.stop("loader")
    rated = cluster.check_topics()

    letters = [
        (letter["offset"], letter["index"], str(letter["reason"]), letter["field"])
        for letter in rated[0]["dead_letter"]
    ]
    wanted = [
        (1 + 2 * at, index, reason, field)
        for at, value in enumerate(bad.values())
        for index, reason, field in value.letters
    ]
    assert letters == wanted
    charged = {line["event_id"] for line in rated[0]["billed"] if line["decision"] == "charged"}
    assert charged == {f"good-{n}" for n in range(len(bad))} | {e["event_id"] for e in many} | {
        *names, "between", "mine", "last",
    }  # fmt: skip
    assert [line["account_id"] for line in rated[2]["billed"]] == [strange]
    check_stored(tmp_path, rated, bad, names)


def check_stored(tmp_path: Path, rated: list[Any], bad: dict[str, Bad], names: list[str]) -> None:
    """ClickHouse has every line, the odd names as they are, and each bad message's bytes with the reason."""
    sink = EmbeddedSink(tmp_path / "one" / "data" / "clickhouse")
    try:
        check_store(sink, rated)
        rows = sink.query("SELECT event_id, actor, attributes FROM billed_events WHERE isNotNull(actor)").rows
        assert sorted(row[0] for row in rows) == sorted(names)
        assert all(row[0] == row[1] for row in rows)
        sql = "SELECT source_offset, detail, size, hex(original) FROM dead_letters WHERE reason = 'undecodable'"
        stored = {row[0]: row[1:] for row in sink.query(sql).rows}
        for at, wrong in enumerate(bad.values()):
            if wrong.letters is UNDECODABLE:
                detail, size, original = stored[1 + 2 * at]
                value = wrong.value or b""
                assert detail.startswith(wrong.detail)
                assert (size, original) == (len(value), value[: 64 * 1024].hex().upper())
    finally:
        sink.close()


def test_topics_with_other_partition_counts(kafka: SharedKafka, cluster: Cluster) -> None:
    """Another count than the configured one, or than the input's, is told with the topic and both numbers."""
    cluster.start_with("worker-of-three", partitions=3)
    code, said = cluster.wait_ended("worker-of-three")
    assert code == 1, said
    assert f"{cluster.names.requests}: the number of partitions is 4, 3 is needed; it is fixed when a topic" in said

    uneven = TopicNames(kafka.fresh_prefix())
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    counts = dict.fromkeys(uneven.all, 2) | {uneven.billed: 3}
    topics = [TopicSettings(count).new_topic(name, is_input=False) for name, count in counts.items()]
    for made in admin.create_topics(topics).values():
        made.result(30)
    for name in ("worker", "loader"):
        cluster.start_with(name, topic_prefix=uneven.prefix, partitions=2)
    for name in ("worker", "loader"):
        code, said = cluster.wait_ended(name)
        assert code == 1, said
        assert f"{uneven.billed}: the number of partitions is 3, 2 is needed" in said
        assert "Traceback" not in said


AS_ANYBODY = "import ctypes; [ctypes.CDLL(None).prctl(24, capability, 0, 0, 0) for capability in (1, 2)]"
"""Drops what lets root write where nobody may (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH); no matter for others."""


def test_a_data_directory_that_cannot_be_written(cluster: Cluster) -> None:
    """Before anything is in it, and when it held state already; then it is writable again."""
    messages = BusyTraffic(SEED, PARTITIONS, cluster.codec, accounts=20).messages(200)
    home = cluster.folder / "one"
    data = home / "data"
    data.mkdir(parents=True)
    with read_only(data):
        for name in ("worker", "loader"):
            cluster.start_with(name, AS_ANYBODY)
        for name in ("worker", "loader"):
            assert_clear(cluster, name, data, "Permission denied", "let this process write there")
    cluster.start("worker")
    cluster.send(messages[:100])
    cluster.wait_until_rated()
    cluster.stop("worker")
    with read_only(*(path for path in (data / "state").rglob("*") if path.is_dir())):
        cluster.send(messages[100:])
        cluster.start_with("worker", AS_ANYBODY)
        words = ("Permission denied", "let this process write to the folder")
        assert_clear(cluster, "worker", data / "state", *words, began=True)
    cluster.start("worker")
    cluster.wait_until_rated()
    cluster.check_topics()


def assert_clear(cluster: Cluster, name: str, place: Path, *words: str, began: bool = False) -> None:
    """It ended with exit code 1, and the last that it said names the place, the reason and what to do.

    Where it had not begun to work there is nothing else, above all no traceback.
    """
    code, said = cluster.wait_ended(name)
    last = said.rstrip().splitlines()[-1]
    assert code == 1, said
    assert last.startswith("Error: "), said
    assert all(word in last for word in (str(place), *words)), said
    assert began or "Traceback" not in said, said
    (cluster.folder / f"{name}.log").unlink()


@contextlib.contextmanager
def read_only(*folders: Path) -> Iterator[None]:
    for folder in folders:
        folder.chmod(0o555)
    try:
        yield
    finally:
        for folder in folders:
            folder.chmod(0o755)


class SmallDisk:
    """A disk of 768 KiB: a tmpfs where this process may mount one, else a limit on the size of every file.

    The first is full as disks are (ENOSPC); the second refuses to write in the same places (EFBIG).
    """

    SIZE = 768 << 10
    FILE_SIZE = 100 << 10

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={self.SIZE}", "tmpfs", path]
        wanted = "CREDITMETER_TEST_NO_MOUNT" not in os.environ
        self.mounted = wanted and subprocess.run(mount, capture_output=True).returncode == 0
        limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({self.FILE_SIZE},) * 2)"
        self.limit = "pass" if self.mounted else limited
        print("a full tmpfs" if self.mounted else "a limit on the size of files")

    def make_room(self) -> None:
        self.limit = "pass"
        if self.mounted:
            subprocess.run(["mount", "-o", "remount,size=512m", self.path], check=True)

    def remove(self) -> None:
        if self.mounted:
            subprocess.run(["umount", self.path], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    disk = SmallDisk(tmp_path / "disk")
    yield disk
    disk.remove()


def test_a_full_disk_for_state(small_disk: SmallDisk, cluster: Cluster) -> None:
    """The worker ends with a clear error, as often as it is started; with room again it goes on where it was."""
    try:
        cluster.send(BusyTraffic(SEED + 1, PARTITIONS, cluster.codec, accounts=40).messages(1_500))
        for _ in range(2):
            cluster.start_with("worker", small_disk.limit, state_dir=str(small_disk.path))
            words = "make room on the disk and start again; nothing is lost"
            assert_clear(cluster, "worker", small_disk.path, words, began=True)
        small_disk.make_room()
        cluster.start_with("worker", state_dir=str(small_disk.path))
        cluster.wait_until_rated()
        cluster.stop("worker")
        cluster.check_topics()
    finally:
        cluster.close()
