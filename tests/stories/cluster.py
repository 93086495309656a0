"""A `Pipeline` of real processes to be treated badly, and its bill worked out a second way: by `rate`.

The log is read back with the times that the broker gave it, each partition goes through the engine of `creditmeter
rate`, and every field of every output has to be equal: lines, refunds, grants, alerts and dead letters.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from application.input.file_rating import Rater
from application.input.ndjson import BadLine, InputCommand
from cli.main import main
from local.ports import free_ports
from metering.records import DeadLetterReason
from schemas.errors import Undecodable
from sinks.sink import Sink
from streams.log.input_log import KafkaInputLog
from streams.log.partitioner import partition_of
from streams.log.protocols import LogError, LogUnavailable, Message
from tests.harness import PATIENCE, Pipeline
from tests.streams.traffic import SECOND_BOOK, Traffic, book_command

Sent = tuple[int, int, bytes]
"""Partition, a time that is ignored, value."""
Outputs = dict[str, list[dict[str, Any]]]
"""By kind, in the order of the log; a dead letter is its place, reason and field."""
BECOME = "import os, sys; {}; os.execv(sys.executable, [sys.executable, '-m', 'cli.main', *sys.argv[1:]])"
TOPIC_KINDS = ("billed", "refund", "grant", "alert", "account", "hold", "dead_letter")
KINDS = tuple(kind for kind in TOPIC_KINDS if kind != "account")  # what `rate` prints


class Cluster(Pipeline):
    """A pipeline whose processes may have settings and limits of their own. ``book`` is in force from the start."""

    def __init__(self, bootstrap: str, prefix: str, folder: Path, book: str, partitions: int = 4) -> None:
        super().__init__(bootstrap, prefix, folder, partitions)
        self.book = book

    def start_with(self, name: str, limit: str | None = None, within: str = "", **settings: str | int) -> None:
        """As `start`, with further settings; ``limit`` is Python run in the process before the program takes its place.

        ``within`` is Python run in the program itself before it begins. ``machine`` is the folder that stands for its
        disk.
        """
        home = self.folder / str(settings.get("machine", "one"))
        home.mkdir(parents=True, exist_ok=True)
        values: dict[str, str | int] = {
            "bootstrap_servers": self.bootstrap,
            "topic_prefix": self.names.prefix,
            "session_timeout": 2,
            "partitions": self.partitions,
            "data_dir": str(home / "data"),
            "query_port": free_ports(1)[0],
        } | {key: value for key, value in settings.items() if key != "machine"}
        config = home / f"{name}.toml"
        config.write_text("".join(f"{key} = {value!r}\n" for key, value in values.items()))
        program = None if limit is None else [sys.executable, "-c", BECOME.format(limit)]
        self._launch(name, program, config, within=within)

    def log_of(self, name: str, most: int = 4_000) -> str:
        """The end of what the process said, over all its runs."""
        return (self.folder / f"{name}.log").read_text(errors="replace")[-most:]

    def wait_ready(self, name: str, seconds: float = PATIENCE) -> None:
        """Returns when the process has been given partitions."""
        self.wait_for(self._ready_file(name).exists, f"{name} has partitions", seconds)

    def wait_ended(self, name: str, seconds: float = PATIENCE) -> tuple[int, str]:
        """The exit code and the log of a process that is to end by itself."""
        try:
            code = self.processes[name].wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{name} still runs after {seconds} s:\n{self.log_of(name)}") from None
        del self.processes[name]
        return code, self.log_of(name)

    def wait_for(self, holds: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
        until = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < until, f"not within {seconds} s: {what}"
            self.check_running()
            time.sleep(0.02)

    def feed(self, messages: list[Sent], seconds: float) -> Feed:
        """Sends the messages evenly over that time, from a thread of its own; the broker may be away meanwhile."""
        return Feed(self, messages, seconds)

    def _wait(self, group: str, topics: Iterable[str], seconds: float) -> None:
        """As it is, but a broker that has just come back may not know yet who coordinates the group."""
        until = time.monotonic() + seconds
        while True:
            try:
                super()._wait(group, topics, max(0.0, until - time.monotonic()))
            except LogUnavailable:
                assert time.monotonic() < until, f"nobody knows the group {group} after {seconds} s"
                time.sleep(0.2)
            else:
                return

    def audit(self, *options: str, config: str = "one/loader.toml") -> dict[str, Any]:
        """`creditmeter audit` with that process's settings: topics, rows and state, no difference anywhere."""
        printed = CliRunner().invoke(
            main, ["audit", "--json", "--state", "--config", str(self.folder / config), *options]
        )
        lines = [json.loads(line) for line in printed.stdout.splitlines()]
        assert lines, printed.output
        assert not lines[:-1], f"{len(lines) - 1} differences, the first of them {lines[0]}"
        assert printed.exit_code == 0, printed.output
        result: dict[str, Any] = lines[-1]
        return result

    def audit_all(self, *options: str, config: str = "one/loader.toml") -> dict[str, Any]:
        """As `audit`, at the end: nothing is left out of it."""
        result = self.audit(*options, config=config)
        assert not result["not_covered"], result["not_covered"]
        assert all(result[counter] for counter in ("messages", "records", "charged", "refunded", "granted", "expired"))
        return result

    def messages(self) -> list[list[Message]]:
        """The input log, by partition, as it is now."""
        log = KafkaInputLog(self.bootstrap, self.names.requests)
        try:
            return [list(log.read(partition, *log.bounds(partition))) for partition in range(self.partitions)]
        finally:
            log.close()

    def rated(self, messages: list[list[Message]]) -> list[Outputs]:
        """What `rate` makes of each partition of the log."""
        return [self._rated(partition, own) for partition, own in enumerate(messages)]

    def seen(self, there: dict[tuple[str, int], list[bytes]]) -> list[Outputs]:
        """What those messages say, by partition."""
        kinds = dict(zip(self.names.outputs, TOPIC_KINDS, strict=True))
        outputs: list[Outputs] = [{kind: [] for kind in TOPIC_KINDS} for _ in range(self.partitions)]
        for (topic, partition), values in there.items():
            kind = kinds[topic]
            for value in values:
                batch = self.codec.decode(value)[1]
                items = next(value for value in batch.values() if isinstance(value, list))
                outputs[partition][kind] += [_comparable(kind, item, batch["source_offset"]) for item in items]
        return outputs

    def check_topics(self) -> list[Outputs]:
        """The topics hold what `rate` gives, in its order. Its bytes and rows are what `audit` looks at."""
        expected, actual = self.rated(self.messages()), self.seen(self.bytes_in_topics())
        for partition in range(self.partitions):
            for kind in KINDS:
                wanted, had = expected[partition][kind], actual[partition][kind]
                for at, (one, other) in enumerate(zip(wanted, had, strict=False)):
                    assert one == other, f"{kind} {at} of partition {partition}"
                assert len(wanted) == len(had), f"{kind} of partition {partition}"
        return expected

    def _rated(self, partition: int, messages: list[Message]) -> Outputs:
        places: list[tuple[int, int | None]] = []
        outputs: Outputs = {kind: [] for kind in (*KINDS, "repeated")}
        for output in Rater(self.book).rate(self._commands(partition, messages, places, outputs)):
            kind = str(output.pop("type"))
            if kind == "dead_letter":
                offset, index = places[output.pop("line_number")]
                output |= {"offset": offset, "index": index}
            outputs[kind].append(output)
        return outputs

    def _commands(
        self, partition: int, messages: list[Message], places: list[tuple[int, int | None]], outputs: Outputs
    ) -> Iterator[InputCommand | BadLine]:
        """The log as `rate` takes it. ``places`` gets the place behind each line number; `rate` knows no partitions."""
        for message in messages:
            try:
                name, record = self.codec.decode_command(message.value)
            except Undecodable:
                places.append((message.offset, None))
                yield BadLine(len(places) - 1, DeadLetterReason.UNDECODABLE, None)
                continue
            for index, own in enumerate(record["events"] if name == "request" else [record]):
                place = (message.offset, index if name == "request" else None)
                account = own.get("account_id")
                if account and partition_of(account, self.partitions) != partition:
                    letter = {"reason": "wrong_partition", "field": "account_id", "offset": place[0], "index": place[1]}
                    outputs["dead_letter"].append(letter)
                    continue
                places.append(place)
                yield InputCommand(len(places) - 1, name, own, message.timestamp)


class BusyTraffic(Traffic):
    """Traffic in batches of dozens of events, over days and not months."""

    def messages(self, count: int) -> list[Sent]:
        made = super().messages(0)
        for number in range(count):
            self.now += self.random.choice((1, 1_000, 60_000, 600_000))
            if number == count // 2:
                second = self.codec.encode("PriceBook", book_command(SECOND_BOOK, self.now))
                made += [(partition, self.now, second) for partition in range(self.partitions)]
            made.append(self._message())
        return made

    def _message(self) -> Sent:
        if (
            self.random.random() < 0.4
        ):  # else what all traffic has: grants, refunds, account updates, poison, small ones
            return super()._message()
        partition = self.random.randrange(self.partitions)
        own = [account for account in self.accounts if partition_of(account, self.partitions) == partition]
        events = [self._event(self.random.choice(own)) for _ in range(self.random.randrange(10, 60))]
        return partition, self.now, self.codec.encode("RequestBatch", {"events": events})


class Feed:
    """Sends messages in the background. `finish` waits for the end and raises what went wrong."""

    AT_ONCE = 20

    def __init__(self, cluster: Cluster, messages: list[Sent], seconds: float) -> None:
        self._cluster = cluster
        self._messages = messages
        self._seconds = seconds
        self._error: LogError | None = None
        self._thread = threading.Thread(target=self._run, name="feed")
        self._thread.start()

    def finish(self) -> None:
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        began = time.monotonic()
        try:
            for at in range(0, len(self._messages), self.AT_ONCE):
                self._cluster.send(self._messages[at : at + self.AT_ONCE])
                ahead = self._seconds * (at + self.AT_ONCE) / len(self._messages) - (time.monotonic() - began)
                time.sleep(max(0.0, ahead))
        except LogError as error:
            self._error = error


def _comparable(kind: str, item: dict[str, Any], offset: int) -> dict[str, Any]:
    if kind == "dead_letter":
        return {"reason": item["reason"], "field": item["field"], "offset": offset, "index": item["index"]}
    if kind == "grant":
        return {name: value for name, value in item.items() if name != "changed_at"}
    return item


STORED = {
    "billed": "SELECT account_id, decision, charge, credit_type, count(), sum(credits) FROM billed_events "
    "GROUP BY account_id, decision, charge, credit_type",
    "refund": "SELECT account_id, status, reject_reason, credit_type, count(), sum(credits) FROM refunds "
    "GROUP BY account_id, status, reject_reason, credit_type",
    "grant": "SELECT account_id, status, credit_type, count(), sum(credits) FROM grants "
    "GROUP BY account_id, status, credit_type",
    "alert": "SELECT account_id, kind, credit_type, count(), sum(balance) FROM alerts "
    "GROUP BY account_id, kind, credit_type",
    "dead_letter": "SELECT reason, field, source_partition, count() FROM dead_letters "
    "GROUP BY reason, field, source_partition",
}
KEYS = {
    "billed": ("account_id", "decision", "charge", "credit_type"),
    "refund": ("account_id", "status", "reject_reason", "credit_type"),
    "grant": ("account_id", "status", "credit_type"),
    "alert": ("account_id", "kind", "credit_type"),
}


def check_store(sink: Sink, rated: list[Outputs]) -> None:
    """ClickHouse holds the counts and sums of what `rate` gave, by account and decision, no row lost or doubled."""
    for kind, sql in STORED.items():
        rows = Counter({tuple(row[:-1]): row[-1] for row in map(_plain, sink.query(sql).rows)})
        wanted = Counter({tuple(row[:-1]): row[-1] for row in _totals(kind, rated)})
        assert rows == wanted, f"{kind}: {(wanted - rows) + (rows - wanted)}"


def _totals(kind: str, rated: list[Outputs]) -> Iterable[tuple[Any, ...]]:
    counts: Counter[tuple[Any, ...]] = Counter()
    sums: Counter[tuple[Any, ...]] = Counter()
    amount = "balance" if kind == "alert" else "credits"
    for partition, outputs in enumerate(rated):
        for item in outputs[kind]:
            if kind == "dead_letter":
                key: tuple[Any, ...] = (str(item["reason"]), item["field"], partition)
            else:
                key = tuple(_plain([item[name] for name in KEYS[kind]]))
                sums[key] += item[amount]
            counts[key] += 1
    if kind == "dead_letter":
        return [(*key, count) for key, count in counts.items()]
    return [(*key, count, sums[key]) for key, count in counts.items()]


def _plain(row: Iterable[Any]) -> tuple[Any, ...]:
    """Members of enums as their text, as ClickHouse has them."""
    return tuple(str(value) if isinstance(value, str) else value for value in row)
