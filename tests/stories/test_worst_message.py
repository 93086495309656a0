"""The worst messages that a producer may send: memory and time of one process stay bounded, and the others go on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

MOST_MIB = 512

RATE = """
import json, sys, time
from pathlib import Path
from schemas.codec import Codec
from schemas.price_book import read_book
from schemas.wire import write_long
from streams.log.memory import MemoryBroker, MemoryInputLog, MemoryOutputLog
from streams.log.seals import Sealer
from streams.log.topics import TopicNames
from streams.rating.loop import RatingLoop
from streams.rating.partition import Wiring
from streams.state.rocks_folder import RocksFolder
from streams.state.store import Identity
from tests.streams.traffic import BOOK, START, book_command, event

kind, count, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
codec, names, broker = Codec(), TopicNames("worst"), MemoryBroker()

def made(number):
    if kind == "empty":
        return event("", "") | {"endpoint": "", "channel": ""}
    ip = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
    return event(f"event-{number:08}", "account-0", endpoint="/pixel", ip=ip,
                 user_id=f"user-{number}", domain=f"d{number}.example", attributes={"a": "x" * 150})

def peak_mib():
    # of this program alone: what getrusage says begins with the memory of the process that started it
    return next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))

head = len(codec.encode("RequestBatch", {"events": []})) - 1
events = b"".join(codec.encode_event_alone(made(n))[head + 1:-1] for n in range(1 if kind == "empty" else count))
whole = events * (count if kind == "empty" else 1)
value = codec.encode("RequestBatch", {"events": []})[:head] + write_long(count) + whole + bytes(1)
del events, whole
good = codec.encode("RequestBatch", {"events": [event("after", "account-0")]})
broker.append(names.requests, 0, codec.encode("PriceBook", book_command(BOOK, START)), START)
for message in (value, good):
    broker.append(names.requests, 0, message, START + 1)
out = MemoryOutputLog(broker, codec.read_position, seals=Sealer(b"worst"))
wiring = Wiring(names, 1, codec, read_book, MemoryInputLog(broker, names.requests), out)
states = RocksFolder(folder)
loop = RatingLoop(wiring, lambda partition: states.open(Identity(names.requests, partition)))
messages = broker.records(names.requests, 0)
loop.process(messages[:1])
began = time.process_time()
loop.process(messages[1:])
took = time.process_time() - began
loop.close()
topics = (names.billed, names.dead_letters)
batches = {topic: [codec.decode(m.value)[1] for m in broker.records(topic, 0)] for topic in topics}
print(json.dumps({
    "bytes": len(value), "seconds": took, "mib": peak_mib(),
    "letters": [letter["detail"] for batch in batches[names.dead_letters] for letter in batch["dead_letters"]][:2],
    "count": sum(len(batch["dead_letters"]) for batch in batches[names.dead_letters]),
    "charged": sum(line["decision"] == "charged" for batch in batches[names.billed] for line in batch["events"]),
    "largest": max(len(m.value) for topic in names.outputs for m in broker.records(topic, 0)),
}))
"""


def rated(kind: str, count: int, folder: Path) -> dict[str, object]:
    """What a process of its own came to with one message of so many events, and a good one behind it."""
    done = subprocess.run(
        [sys.executable, "-c", RATE, kind, str(count), str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    figures: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    print(f"{count:,} events ({kind}): {figures}")
    return figures


def test_more_than_a_million_empty_events_in_one_message(tmp_path: Path) -> None:
    """15 MB that are next to nothing on the wire: one dead letter, at once, and the message behind it is charged."""
    figures = rated("empty", 1_100_000, tmp_path)
    assert figures["count"] == 1
    assert figures["letters"] == ["more than 50000 events in one batch"]
    assert float(str(figures["seconds"])) < 1
    assert float(str(figures["mib"])) < MOST_MIB


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["empty", "charged"])
def test_the_most_events_that_a_message_may_hold(tmp_path: Path, kind: str) -> None:
    figures = rated(kind, 50_000, tmp_path)
    assert figures["count"] == (50_000 if kind == "empty" else 0)
    assert float(str(figures["mib"])) < MOST_MIB
    assert int(str(figures["largest"])) <= 512 * 1024
