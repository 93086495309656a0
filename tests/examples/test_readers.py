"""The example reader in Java, on a real broker: repeats and strays count nothing, and a second run goes on."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from local.shared import SharedKafka
from tests.client.kafka.topics import KEY, Topics
from tests.examples.java import ENVIRONMENT, compiled
from tests.schemas.records import LINE

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
JAVA = ROOT / "examples" / "readers" / "java"
CREDITS = LINE["credits"]  # of the one line of each batch
ACCOUNT = LINE["account_id"]


def bill(command: list[str], topics: Topics, folder: Path) -> tuple[str, str]:
    """What one run prints: the bill, and its log."""
    arguments = [str(ROOT / "schemas"), topics.bootstrap, topics.names.billed, KEY.decode(), str(folder / "bill")]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=120, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_the_java_reader_counts_each_line_once(kafka: SharedKafka, tmp_path: Path) -> None:
    command = compiled(tmp_path, JAVA, "ReadBilled", "java-reader", 33)
    topics = Topics(kafka.bootstrap, kafka.fresh_prefix())
    topics.write(0, [3, 5])
    topics.write(0, [3, 5, 8])  # after a crash of a worker: the same again
    topics.write(1, [0])
    topics.write(2, [4, 9], key=None)  # strays
    topics.write(2, [2])
    printed, log = bill(command, topics, tmp_path)
    assert printed == f"{ACCOUNT} {5 * CREDITS}\n"
    assert log.count("a stray record") == 2
    assert bill(command, topics, tmp_path) == (printed, "")
    topics.write(0, [8, 11])
    topics.write(3, [7])
    assert bill(command, topics, tmp_path) == (f"{ACCOUNT} {7 * CREDITS}\n", "")
