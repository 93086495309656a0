"""What `explain` says for every decision and reason: a log in memory, replayed as the command does it."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import pytest

from application.explaining.explained import Agreement, Comparison, Explained, owners_of, stray_rows
from application.explaining.locating import EventLocation
from application.explaining.sentences import story_in_words
from metering.prices import parse_book
from metering.records import YEAR_2000
from replay.account import AccountReplay, ReplaySource, beginning
from replay.event_story import place_of, replay_story
from schemas.codec import Codec
from streams.log.memory import MemoryBroker, MemoryInputLog
from streams.log.topics import TopicNames
from tests.metering import meter
from tests.metering.meter import DAY, HOUR, MIDNIGHT, NOON, YEAR_BEGIN, Json

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
    told = explained(book, *commands, event_id=event_id)
    assert json.loads(json.dumps(told.as_plain()))["event_id"] == event_id
    return "\n".join(story_in_words(told))


def test_a_whole_story() -> None:
    commands = [
        meter.grant("march", 30, NOON - HOUR, expires_at=NOON + DAY),
        meter.request("e0", NOON - 2 * DAY, **IP),
        meter.request("e1", NOON, **IP, actor="key-7", quantities={"results": 3}),
        meter.request("e1", NOON, **IP, actor="key-7", quantities={"results": 3}),
        meter.refund("r1", "e1", NOON + HOUR, credits=5, charge="lookup"),
        meter.refund("r1", "e1", NOON + HOUR),
        meter.refund("r2", "e1", NOON + HOUR, credits=16, charge="lookup"),
    ]
    found = words(BOOK, *commands)
    assert flat(found) == flat("""
        Event e1 of account acme: charged 20 credits.

          It occurred at 2026-01-10T12:00:00Z: /v1/lookup, channel api, outcome processed; actor key-7, ip 192.0.2.1;
          results=3.
          It entered the log at 2026-01-10T12:00:00Z, at words.requests[0]@3/0, sent by emit.

        lookup (Finding: IP lookup): charged 20 credits
          The charge applies because endpoint is /v1/lookup (which fits /v1/*).
          Price version v1 applies: it was in force, since 2026-01-01T00:00:00Z, when the event occurred.
          1 request at 20 credits each: 20 credits.
          It is charged once for each ip within 24h: this event has paid for ip 192.0.2.1, so that others are free
          until 2026-01-11T12:00:00Z.
          Event e0 had paid for it before, at 2026-01-08T12:00:00Z; that ended at 2026-01-09T12:00:00Z.
          Balance: 10 credits before, -10 credits after.
          10 came from grant march, which expires 2026-01-11T12:00:00Z and had 0 left then.
          10 were covered by no grant: the account owes them, and the next grant fills them first.

        Since then
          Refund r1 at 2026-01-10T13:00:00Z (asked for): 5 credits given back for lookup: 15 credits of the charge
          left; balance then -5 credits.
          Refund r1 at 2026-01-10T13:00:00Z: asked for again, which changes nothing.
          Refund r2 at 2026-01-10T13:00:00Z: rejected: that is more than is left of the charge, or all of it has been
          given back before.
          The same event came again at words.requests[0]@4/0 (2026-01-10T12:00:00Z): a repeat costs nothing and
          changes nothing.

        The same request now (2026-01-13T12:00:00Z) would be charged 20 credits.
          lookup (Finding: IP lookup): charged 20 credits
            20 credits of it would be owed, because grants do not suffice.

        Read from words.requests[0] up to offset 8, from the log's beginning on.
        Compared with the bill: the billed topic says the same; ClickHouse says the same.
    """)
    blank = [number for number, line in enumerate(found.splitlines()) if not line]
    assert blank == [1, 4, 14, 20, 24], "paragraphs"


def unique(by: list[str], within: str) -> Json:
    return meter.book(meter.charge("lookup", unique=(by, within)))


@pytest.mark.parametrize(
    ("book", "before", "fields", "said"),
    [
        (
            BOOK, [meter.request("e0", NOON - 1, ip="::ffff:192.0.2.1")], IP,
            """It is charged once for each ip within 24h, and event e0 of 2026-01-10T11:59:59.999Z paid for ip
            192.0.2.1: others are free until 2026-01-11T11:59:59.999Z.""",
        ),
        (
            BOOK, [meter.request("e0", NOON - 1, **IP)], IP,
            "That event entered the log at 2026-01-11T12:00:00Z, at words.requests[0]@1/0.",
        ),
        (
            BOOK, [meter.request("e0", NOON + HOUR, **IP)], IP,
            "(later than this event, yet it came to the log before it)",
        ),
        (
            BOOK, [meter.request("e0", NOON, **IP)], {"ip": "::ffff:192.0.2.1"},
            "paid for ip 192.0.2.1 (given as ::ffff:192.0.2.1)",
        ),
        (
            unique(["ip"], "calendar_day"), [meter.request("e0", MIDNIGHT, **IP)], IP,
            """charged once for each ip within a calendar day (UTC), and event e0 of 2026-01-10T00:00:00Z paid for
            ip 192.0.2.1: others are free until 2026-01-11T00:00:00Z.""",
        ),
        (
            unique(["user_id", "ip"], "ever"), [meter.request("e0", NOON, **IP, user_id="u")], IP | {"user_id": "u"},
            """charged once for each user_id and ip, ever, and event e0 of 2026-01-10T12:00:00Z paid for user_id u
            and ip 192.0.2.1: others are free for ever.""",
        ),
        (BOOK, [], {}, "It is charged once for each ip, and the event has no ip."),
        (
            meter.book(meter.charge("x", per="results")), [], {},
            "It is charged by the number of results, and there were none.",
        ),
        (
            meter.book(meter.charge("x", 3, per="results")), [], {"quantities": {"results": 7}},
            "7 results at 3 credits each: 21 credits.",
        ),
        (meter.book(meter.charge("x", 3, credit_type="email")), [], {}, "x: charged 3 email credits"),
        (meter.book(meter.charge("x", 0)), [], {}, "x: free of charge"),
        (meter.book(meter.charge("x", 0)), [], {}, "The charge applies to every request."),
        (BOOK, [], {"outcome": "blocked"}, "Its outcome was blocked; only processed requests are charged."),
        (None, [], IP, "No price book had been published when it entered the log."),
        (
            meter.book_of(meter.version("v1", NOON + 1, LOOKUP)), [], IP,
            "Prices begin at 2026-01-10T12:00:00.001Z, and it occurred before that.",
        ),
        (BOOK, [], {"endpoint": "/v2"}, "- lookup: endpoint is /v2, not /v1/*."),
        (BOOK, [], IP | {"plan": "big"}, "The plan big has a price of its own: 15 in place of 20."),
        (BOOK, [], IP | {"plan": "big"}, "The event itself names the plan big."),
        (
            BOOK, [meter.account("u", NOON, on_empty="reject"), meter.grant("g", 19, NOON)], IP,
            "The whole event would have cost 20 credits, and 19 credits were available.",
        ),
        (
            BOOK, [meter.grant("old", 9, NOON - 2, expires_at=NOON)], IP,
            "By then 9 credits of grant old had expired.",
        ),
    ],
)  # fmt: skip
def test_reasons(book: Json | None, before: list[Json], fields: Json, said: str) -> None:
    # Recorded a day later, so that none is in the future; and the event itself with none of that time between.
    found = words(book, *((each, NOON + DAY) for each in before), (meter.request("e1", NOON, **fields), NOON + DAY))
    assert flat(said) in flat(found), found


ONE, TWO = meter.version("one", YEAR_BEGIN, LOOKUP), meter.version("two", NOON - DAY, LOOKUP)
LOCKED = meter.book_of(ONE, TWO, price_lock="plan_period")


@pytest.mark.parametrize(
    ("started_at", "ends_at", "fields", "said"),
    [
        (
            NOON - 2 * DAY, None, {},
            """Price version one applies: it was in force, since 2026-01-01T00:00:00Z, when the plan big began at
            2026-01-08T12:00:00Z, and a plan keeps its prices. (Without that plan it would be version two.)""",
        ),
        (
            YEAR_2000, None, {},
            """Price version one applies: the plan big began at 2000-01-01T00:00:00Z, before there were prices, so
            that it keeps the first ones.""",
        ),
        (NOON - 2 * DAY, None, {"plan": "x"}, "The event itself names the plan x, in place of the account's plan big."),
        (NOON - 2 * DAY, None, {"plan": "x"}, "So the prices are not those kept for the account's own plan."),
        (NOON - 2 * DAY, NOON, {}, "The account's plan big has ended at the event's time, and does not count."),
        (NOON + 1, None, {}, "The account's plan big had not begun at the event's time, and does not count."),
    ],
)  # fmt: skip
def test_plans(started_at: int, ends_at: int | None, fields: Json, said: str) -> None:
    plan = {"name": "big", "started_at": started_at, "ends_at": ends_at}
    found = words(LOCKED, meter.account("u", NOON - 1, plan=plan), meter.request("e1", NOON, **IP, **fields))
    assert flat(said) in flat(found), found


@pytest.mark.parametrize(
    ("event", "recorded_at", "said"),
    [
        ({"ip": "300.1.1.1"}, NOON, "Its field ip is wrong ('300.1.1.1'): a field is missing, unknown, empty"),
        ({"ip": "300.1.1.1"}, NOON, "then `creditmeter dead-letters replay 0@2/0 --corrected letter.json`."),
        ({}, NOON - HOUR, "Its time is in the future: 2026-01-10T11:05:00Z was the latest possible"),
        ({}, NOON - HOUR, "once its time has come: `creditmeter dead-letters replay 0@2/0`."),
        (
            {"occurred_at": NOON - 40 * DAY}, NOON,
            """It came too late: the account accepted events from 2025-12-06T11:59:59.999Z on when it entered the
            log (its newest is of 2026-01-10T11:59:59.999Z).""",
        ),
        ({"ip": "300.1.1.1"}, NOON, "The same request now (2026-01-13T12:00:00Z) would not be accepted either."),
    ],
)  # fmt: skip
def test_dead_letters(event: Json, recorded_at: int, said: str) -> None:
    found = words(BOOK, meter.account("u", NOON - 1), (meter.request("e1", NOON, **IP) | event, recorded_at))
    assert found.startswith("Event e1 of account acme: not accepted, so that nothing was charged; it is a dead letter.")
    assert flat(said) in flat(found), found


def test_the_last_accepted_event_of_an_id_is_told_and_the_others_are_named() -> None:
    first, last = meter.request("e1", NOON, **IP), meter.request("e1", NOON + 40 * DAY, **IP)
    commands: list[Any] = [
        meter.request("e1", NOON, ip="wrong"), first, meter.refund("r1", "e1", NOON),
        meter.request("x", NOON + 40 * DAY), last, (last, NOON + 40 * DAY),
    ]  # fmt: skip
    found = words(BOOK, *commands)
    assert "It occurred at 2026-02-19T12:00:00Z" in found
    assert "An event of this id at words.requests[0]@1/0 (2026-01-10T12:00:00Z) was set aside (invalid_event)" in found
    assert "An earlier event of this id, of 2026-01-10T12:00:00Z, at words.requests[0]@2/0" in found
    assert "Refund" not in found, "it was of the earlier one"


def test_refunds_that_give_nothing_more() -> None:
    commands = [
        meter.grant("g", 20, NOON - 1, expires_at=NOON + HOUR), meter.request("e1", NOON, **IP),
        meter.refund("r1", "e1", NOON + HOUR),
        (meter.refund("r2", "e1", NOON + DAY), NOON), meter.refund("r3", "e1", NOON + HOUR),
    ]  # fmt: skip
    found = words(BOOK, *commands)
    assert (
        "20 credits given back for lookup, 20 of them forfeited because their grant had ended: all of the charge"
        in found
    )
    assert "Refund r2 at 2026-01-11T12:00:00Z: not accepted, a dead letter at 0@4 of words.requests." in found
    assert "Refund r3 at 2026-01-10T13:00:00Z: rejected" in found


def test_the_same_request_now_may_be_free() -> None:
    book = unique(["ip"], "7d")
    found = words(book, meter.request("e1", NOON, **IP))
    assert "The same request now (2026-01-13T12:00:00Z) would be charged nothing." in found
    assert "    It is charged once for each ip within 7d, and event e1 of 2026-01-10T12:00:00Z paid for ip" in found


def test_rows_that_come_from_no_event_are_found() -> None:
    story = explained(BOOK, meter.request("e1", NOON, **IP), meter.request("e1", NOON, **IP)).story
    row = {"source_offset": 1, "line": 0}
    assert stray_rows(story, EventLocation(meter.ME, [row], 1)) == []
    assert stray_rows(story, EventLocation(meter.ME, None, None)) == []
    (said,) = stray_rows(story, EventLocation(meter.ME, [row, row | {"source_offset": 2}], 1))
    assert "it has lines of input offset 2, where the log has no such event" in said, "the repeat made none"


@pytest.mark.parametrize(
    ("fields", "recorded_at", "said"),
    [
        ({"hold_id": "h1"}, NOON, "It drew on hold h1, which still set aside 60 credits; the hold is settled by it."),
        ({"hold_id": "h1", "keeps_hold": True}, NOON, "which still set aside 60 credits; the hold stays open."),
        ({"hold_id": "h1", "outcome": "failed"}, NOON, "the hold is released by it."),
        ({"hold_id": "h9"}, NOON, "It names hold h9, which was not open then, so that it was decided as if it named"),
        (
            {"hold_id": "h1"},
            NOON + HOUR,
            "By the log's clock hold h1 had expired, and what it set aside was free again.",
        ),
    ],
)
def test_holds(fields: Json, recorded_at: int, said: str) -> None:
    event = meter.request("e1", NOON, **IP, **fields)
    assert said in flat(words(BOOK, meter.hold("h1", 60, NOON), (event, recorded_at)))


def test_what_a_hold_leaves_available_is_told_of_an_event_that_is_refused() -> None:
    settings, given = meter.account("u1", NOON, on_empty="reject"), meter.grant("g1", 20, NOON)
    held = meter.hold("h1", 5, NOON)
    text = flat(words(BOOK, settings, given, held, meter.request("e1", NOON, **IP)))
    assert "would have cost 20 credits, and 15 credits were available." in text
    dear = meter.request("e1", NOON, hold_id="h2", **IP)
    text = flat(words(BOOK, settings, given, held, meter.hold("h2", 1, NOON), meter.hold("h3", 5, NOON), dear))
    assert "would have cost 20 credits, and 9 credits were available, beside 1 that its hold set aside." in text


def test_a_version_that_overrides_the_lock_says_so() -> None:
    book = meter.book_of(
        meter.version("one", YEAR_BEGIN, LOOKUP),
        meter.version("two", NOON - HOUR, LOOKUP | {"credits": 30}) | {"overrides_lock": True},
        price_lock="plan_period",
    )
    plan = {"name": "small", "started_at": NOON - DAY, "ends_at": None}
    text = flat(words(book, meter.account("u1", NOON, plan=plan), meter.request("e1", NOON, **IP)))
    assert "Price version two applies: the plan small keeps its prices, and this version," in text
    assert "overrides that for everybody." in text
