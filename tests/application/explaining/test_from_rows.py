"""An event explained from what ClickHouse has of it: its lines, refunds, hold and dead letters, without a replay."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from application.explaining.from_rows import EventExplanation, explain_from_rows
from application.usage.history import UsageReader
from application.usage.scope import UsageScope
from metering.prices import parse_book
from sinks.embedded import EmbeddedSink
from streams.log.partitioner import partition_of
from tests.application.usage.conftest import BOOK, PARTITIONS, reader
from tests.metering.meter import DAY, HOUR, NOON, grant, hold, refund, request
from tests.sinks.outputs import Log, load
from tests.stores import with_schema

pytestmark = pytest.mark.slow

ACME = {"account_id": "acme"}
NOW = NOON + 2 * HOUR
PRICES = parse_book(BOOK)


@pytest.fixture(scope="module")
def usage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UsageReader]:
    """A charged event with a refund, a free one, one that drew on a hold, and one that was set aside."""
    log = Log(BOOK, partition_of("acme", PARTITIONS))
    log.message(("grant", grant("g", 100, NOON - DAY, **ACME)), recorded_at=NOW)
    log.message(("request", request("paid", NOON, ip="::ffff:192.0.2.1", actor="ann", **ACME)), recorded_at=NOW)
    log.message(("request", request("free", NOON + HOUR, ip="192.0.2.1", **ACME)), recorded_at=NOW)
    log.message(
        ("refund", refund("r", "paid", NOON + HOUR, credits=5, charge="lookup", reason="late", **ACME)), recorded_at=NOW
    )
    log.message(("hold", hold("h", 50, NOON + HOUR, expires_at=NOW + DAY, **ACME)), recorded_at=NOW)
    log.message(("request", request("held", NOON + HOUR, ip="192.0.2.2", hold_id="h", **ACME)), recorded_at=NOW)
    log.message(("request", request("wrong", NOON + HOUR, ip="nowhere", **ACME)), recorded_at=NOW)
    sink = EmbeddedSink(with_schema(tmp_path_factory.mktemp("rows") / "data"))
    load(sink, log.batches)
    yield reader(sink)
    sink.close()


def explained(usage: UsageReader, event_id: str, actor: str | None = None) -> EventExplanation:
    explanation = explain_from_rows(usage, UsageScope("acme", actor), event_id, PRICES)
    assert explanation is not None
    return explanation


def test_a_charge_names_its_price_its_subject_and_what_was_given_back(usage: UsageReader) -> None:
    paid = explained(usage, "paid")
    assert (paid.credits, paid.refunded) == ({"credit": 20}, {"credit": 5})
    text = " ".join(paid.sentences)
    assert text.startswith("Event paid of account acme: charged 20 credits. It occurred at 2026-01-10T12:00:00Z:")
    for said in (
        "lookup (Identification: IP lookup): charged 20 credits.",
        "Price version v1 applies: it was in force, since 2026-01-01T00:00:00Z, when the event occurred.",
        "1 request at 20 credits each: 20 credits.",
        "this event has paid for ip 192.0.2.1 (given as ::ffff:192.0.2.1)",
        "20 came from grant g.",
        "Refund r at 2026-01-10T13:00:00Z (late): 5 credits given back for lookup: 15 credits of the charge left.",
    ):
        assert said in text
    assert "Nothing was given back." not in text


def test_a_repeat_of_a_subject_names_who_paid(usage: UsageReader) -> None:
    free = explained(usage, "free")
    assert free.credits == {}
    assert "Event paid has paid for it: others are free until 2026-01-11T12:00:00Z." in free.sentences


def test_a_hold_is_named_with_its_present_state(usage: UsageReader) -> None:
    held = explained(usage, "held")
    assert held.holds[0]["status"] == "held"
    assert "It drew on hold h, which is settled since 2026-01-10T13:00:00Z." in held.sentences
    assert "Nothing was given back." in held.sentences


def test_an_event_that_was_set_aside_says_why_but_not_to_one_actor(usage: UsageReader) -> None:
    (sentence,) = explained(usage, "wrong").sentences
    assert "was set aside at " in sentence
    assert "as invalid_event (field ip): " in sentence
    assert explain_from_rows(usage, UsageScope("acme", "ann"), "wrong", PRICES) is None


def test_only_the_scopes_own_events_are_explained(usage: UsageReader) -> None:
    assert explained(usage, "paid", "ann").credits == {"credit": 20}
    assert explain_from_rows(usage, UsageScope("acme", "bob"), "paid", PRICES) is None
    assert explain_from_rows(usage, UsageScope("other"), "paid", PRICES) is None
    with pytest.raises(ValueError, match="one account's event"):
        explain_from_rows(usage, UsageScope(None), "paid", PRICES)


def test_without_a_book_the_rows_alone_are_explained(usage: UsageReader) -> None:
    explanation = explain_from_rows(usage, UsageScope("acme"), "paid", None)
    assert explanation is not None
    assert "Price version v1 applies." in explanation.sentences
    assert not any("The charge applies" in sentence for sentence in explanation.sentences)
