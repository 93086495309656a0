"""One event's story as `explain` has it, from commands in a log in memory: for the tests of its sentences."""

from __future__ import annotations

import json
from hashlib import sha256

from application.explaining.explained import Agreement, Comparison, Explained, owners_of
from application.explaining.sentences import story_in_words
from metering.prices import parse_book
from replay.account import AccountReplay, ReplaySource, beginning
from replay.event_story import place_of, replay_story
from schemas.codec import Codec
from streams.log.memory import MemoryBroker, MemoryInputLog
from streams.log.topics import TopicNames
from tests.metering import meter
from tests.metering.meter import DAY, NOON, YEAR_BEGIN, Json

NAMES = TopicNames("words")
CODEC = Codec()
NOW = NOON + 3 * DAY
IP = {"ip": "192.0.2.1"}
LOOKUP = meter.charge(
    "lookup",
    feature="Finding",
    action="IP lookup",
    when={"endpoint": "/v1/*"},
    plans={"big": 15},
    unique=(["ip"], "24h"),
)
BOOK = meter.book(LOOKUP)
RECORDS = {"hold": "Hold", "refund": "RefundRequest", "grant": "Grant", "account": "AccountUpdate"}


def explained(book: Json | None, *commands: Json | tuple[Json, int], event_id: str = "e1") -> Explained:
    """Commands in one message each, recorded at their own time unless another is given beside them."""
    broker = MemoryBroker()
    if book is not None:
        text = json.dumps(book)
        record = {"book_id": sha256(text.encode()).hexdigest(), "yaml": text, "published_at": YEAR_BEGIN}
        broker.append(NAMES.requests, 0, CODEC.encode("PriceBook", record), YEAR_BEGIN)
    for command in commands:
        record, recorded_at = command if isinstance(command, tuple) else (command, None)
        at = next(
            record[name] for name in ("requested_at", "granted_at", "held_at", "at", "occurred_at") if name in record
        )
        fields = {"refund_id": "refund", "grant_id": "grant", "update_id": "account"}
        kind = next((word for field, word in fields.items() if field in record), None)
        kind = "hold" if "held_at" in record else kind
        name, value = (RECORDS[kind], record) if kind else ("RequestBatch", {"events": [record]})
        broker.append(NAMES.requests, 0, CODEC.encode(name, value), recorded_at or at, producer="emit")
    log = MemoryInputLog(broker, NAMES.requests)
    source = ReplaySource(NAMES, 1, CODEC, lambda yaml: parse_book(json.loads(yaml)), log)
    stop = log.bounds(0)[1]
    story = replay_story(AccountReplay(source, meter.ME, beginning()), event_id, stop, NOW)
    owners = owners_of(story, lambda owner, at: place_of(source, meter.ME, owner, 0, at.offset + 1))
    return Explained(story, stop, Comparison(Agreement.AGREES, Agreement.AGREES), owners)


def flat(text: str) -> str:
    """The words alone, however lines are broken."""
    return " ".join(text.split())


def words(book: Json | None, *commands: Json | tuple[Json, int], event_id: str = "e1") -> str:
    """The whole explanation, as it is printed."""
    result = explained(book, *commands, event_id=event_id)
    assert json.loads(json.dumps(result.as_plain()))["event_id"] == event_id
    return "\n".join(story_in_words(result))


def unique(by: list[str], within: str) -> Json:
    """A book of one charge that counts once for each of `by`."""
    return meter.book(meter.charge("lookup", unique=(by, within)))
