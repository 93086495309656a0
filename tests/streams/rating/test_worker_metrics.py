"""What a worker counts of the commands that it decides."""

from __future__ import annotations

from hashlib import sha256

from metering.records import Command
from schemas.codec import Codec
from schemas.price_book import read_book
from streams.checkpoints.automatic import Turns
from streams.log.command_producer import encoded
from streams.log.memory import MemoryBroker, MemoryInputLog, MemoryOutputLog
from streams.log.topics import TopicNames
from streams.metrics import Metrics
from streams.rating.loop import RatingLoop
from streams.rating.partition import Wiring
from streams.rating.worker import RatingHandler
from streams.shell.handler import Progress
from streams.state.store import MemoryState
from tests.application.contract import BOOK
from tests.metering.meter import HOUR, NOON, YEAR_BEGIN, account, grant, hold, request

NAMES, CODEC = TopicNames("sim"), Codec()


def test_holds_and_reused_ids_are_counted() -> None:
    broker, metrics = MemoryBroker(), Metrics()
    wiring = Wiring(
        NAMES, 1, CODEC, read_book, MemoryInputLog(broker, NAMES.requests), MemoryOutputLog(broker, CODEC.read_position)
    )
    handler = RatingHandler(RatingLoop(wiring, lambda _partition: MemoryState()), NAMES.requests, metrics, Turns())
    event = request("e1", NOON, endpoint="/v1/ip-lookup", ip="192.0.2.1", hold_id="h1", keeps_hold=True)
    commands = [
        (Command.PRICE_BOOK, {"book_id": sha256(BOOK.encode()).hexdigest(), "yaml": BOOK, "published_at": YEAR_BEGIN}),
        (Command.ACCOUNT, account("u", NOON, on_empty="reject")),
        (Command.GRANT, grant("g", 100, NOON)),
        (Command.HOLD, hold("h1", 60, NOON)),
        (Command.HOLD, hold("h2", 41, NOON)),
        (Command.HOLD, hold("h3", 40, NOON, expires_at=NOON + 1)),
        (Command.REQUEST, event),
        (Command.REQUEST, event | {"event_id": "e2", "ip": "192.0.2.2", "keeps_hold": False}),
        (Command.REQUEST, event | {"endpoint": "/v1/other"}),
        (Command.HOLD, hold("h4", 5, NOON)),
        (Command.REQUEST, event | {"event_id": "e3", "outcome": "failed", "hold_id": "h4", "keeps_hold": False}),
    ]
    for number, (command, record) in enumerate(commands):
        broker.append(NAMES.requests, 0, encoded(CODEC, command, record), NOON + (number > 5) * HOUR // 2)
    progress = handler.process({NAMES.requests: broker.records(NAMES.requests, 0)})
    while progress.carried[NAMES.requests, 0] < len(commands):
        progress = handler.process({})
    assert progress == Progress({(NAMES.requests, 0): len(commands)})
    lines = metrics.text().decode().splitlines()
    for status, count in {
        "held": 3, "rejected": 1, "expired": 1, "drawn": 1, "settled": 1, "released": 1,
    }.items():  # fmt: skip
        assert f'creditmeter_holds_total{{status="{status}"}} {count}.0' in lines
    assert 'creditmeter_repeated_with_other_content_total{command="request"} 1.0' in lines
    assert 'creditmeter_repeated_total{command="request"} 1.0' in lines
    assert 'creditmeter_events_total{decision="charged"} 2.0' in lines
