"""The example producers that Python and Java can run, on a real broker: every account in its partition, and billed."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.main import main
from local.shared import SharedKafka
from streams.log.partitioner import partition_of
from streams.log.reader import KafkaReader
from tests.examples.java import ENVIRONMENT, compiled
from tests.harness import Pipeline

pytestmark = pytest.mark.kafka

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "producers"
JAVA = EXAMPLES / "java"
PARTITIONS = 5
ACCOUNTS = [*(f"customer-{number}" for number in range(40)), "zoë & söhne", "顧客", "\N{GRINNING FACE}", "a" * 128]

Command = list[str]


def python_example(_: Path) -> Command:
    return [sys.executable, str(EXAMPLES / "python" / "send.py")]


def java_example(folder: Path) -> Command:
    """Compiles it into the folder."""
    return compiled(folder, JAVA, "SendEvents", "java-example", 25)


@pytest.fixture
def pipeline(kafka: SharedKafka, tmp_path: Path) -> Iterator[Pipeline]:
    """A pipeline with a worker and the price book that the examples' events are for."""
    made = Pipeline(kafka.bootstrap, kafka.fresh_prefix(), tmp_path, PARTITIONS)
    with closing(made):
        made.start("worker")
        config = str(tmp_path / "one" / "worker.toml")
        book = str(ROOT / "examples" / "prices" / "pixel.yaml")
        published = CliRunner().invoke(main, ["--config", config, "prices", "publish", book])
        assert published.exit_code == 0, published.stderr
        yield made


@pytest.mark.parametrize(
    ("example", "name"), [(python_example, "python-example"), (java_example, "java-example")], ids=["python", "java"]
)
def test_events_of_many_accounts_are_billed(
    pipeline: Pipeline, example: Callable[[Path], Command], name: str, tmp_path: Path
) -> None:
    schema = str(ROOT / "schemas" / "RequestBatch.avsc")
    command = [*example(tmp_path), schema, pipeline.bootstrap, pipeline.names.requests, *ACCOUNTS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=ENVIRONMENT)
    assert (done.returncode, done.stderr) == (0, "")
    printed = {(int(partition), int(offset)) for partition, offset in re.findall(r"\[(\d+)\]@(\d+)", done.stdout)}

    places, accounts = set(), set()
    for partition, offset, account in sent_by(name, pipeline):
        assert partition == partition_of(account, PARTITIONS), account
        places.add((partition, offset))
        accounts.add(account)
    assert accounts == set(ACCOUNTS)
    assert places == printed
    assert {partition for partition, _ in places} == set(range(PARTITIONS))

    pipeline.wait_until_rated()
    outputs = pipeline.in_topics()
    assert outputs["dead"] == []
    bill: dict[str, list[tuple[str, str | None, int]]] = {account: [] for account in ACCOUNTS}
    for line in outputs["billed"]:
        account, _, _, _, decision, charge, _, _, _, credits_ = line[:10]
        bill[account].append((decision, charge, credits_))
    company, lookup = ("charged", "company-enrichment", 10), ("charged", "ip-lookup", 20)
    expected = [company, lookup, ("not_billable", None, 0)]
    assert {account: sorted(lines, key=str) for account, lines in bill.items()} == dict.fromkeys(ACCOUNTS, expected)


def sent_by(name: str, pipeline: Pipeline) -> Iterator[tuple[int, int, str]]:
    """Partition, offset and account of every message that this producer sent; key and header are right."""
    reader = KafkaReader(pipeline.bootstrap)
    for partition in range(PARTITIONS):
        for message in reader.read(
            pipeline.names.requests, partition, *reader.bounds(pipeline.names.requests, partition)
        ):
            command, record = pipeline.codec.decode_command(message.value())
            if command != "request":
                continue
            (account,) = {event["account_id"] for event in record["events"]}
            assert message.key() == account.encode()
            assert message.headers() == [("creditmeter-producer", name.encode())]
            assert record["events"][1]["attributes"] == {"description": "Zoë, Example Inc."}
            yield partition, message.offset() or 0, account
    reader.close()
