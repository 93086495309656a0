"""The whole text of an explanation: its parts in their order, and what happened to the event since."""

from __future__ import annotations

from typing import Any

import pytest

from tests.application.explaining.replayed import BOOK, IP, flat, unique, words
from tests.metering import meter
from tests.metering.meter import DAY, HOUR, NOON, Json


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
    text = words(BOOK, *commands)
    assert flat(text) == flat("""
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
    blank = [number for number, line in enumerate(text.splitlines()) if not line]
    assert blank == [1, 4, 14, 20, 24], "paragraphs"


def test_the_last_accepted_event_of_an_id_is_explained_and_the_others_are_named() -> None:
    first, last = meter.request("e1", NOON, **IP), meter.request("e1", NOON + 40 * DAY, **IP)
    commands: list[Any] = [
        meter.request("e1", NOON, ip="wrong"), first, meter.refund("r1", "e1", NOON),
        meter.request("x", NOON + 40 * DAY), last, (last, NOON + 40 * DAY),
    ]  # fmt: skip
    text = words(BOOK, *commands)
    assert "It occurred at 2026-02-19T12:00:00Z" in text
    assert "An event of this id at words.requests[0]@1/0 (2026-01-10T12:00:00Z) was set aside (invalid_event)" in text
    assert "An earlier event of this id, of 2026-01-10T12:00:00Z, at words.requests[0]@2/0" in text
    assert "Refund" not in text, "it was of the earlier one"


def test_refunds_that_give_nothing_more() -> None:
    commands = [
        meter.grant("g", 20, NOON - 1, expires_at=NOON + HOUR), meter.request("e1", NOON, **IP),
        meter.refund("r1", "e1", NOON + HOUR),
        (meter.refund("r2", "e1", NOON + DAY), NOON), meter.refund("r3", "e1", NOON + HOUR),
    ]  # fmt: skip
    text = words(BOOK, *commands)
    assert (
        "20 credits given back for lookup, 20 of them forfeited because their grant had ended: all of the charge"
        in text
    )
    assert "Refund r2 at 2026-01-11T12:00:00Z: not accepted, a dead letter at 0@4 of words.requests." in text
    assert "Refund r3 at 2026-01-10T13:00:00Z: rejected" in text


def test_the_same_request_now_may_be_free() -> None:
    book = unique(["ip"], "7d")
    text = words(book, meter.request("e1", NOON, **IP))
    assert "The same request now (2026-01-13T12:00:00Z) would be charged nothing." in text
    assert "    It is charged once for each ip within 7d, and event e1 of 2026-01-10T12:00:00Z paid for ip" in text


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
