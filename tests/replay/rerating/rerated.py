"""A log of one partition in memory, told in the words of `tests.metering.meter`, and re-ratings of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from metering import MemoryStore, State
from metering.records import TIME_FIELD, Command, Output
from replay.account import ReplaySource
from replay.rerating.corrections import Correction, Netting, Row
from replay.rerating.partition import PartitionRerating, Rerate, Stores
from replay.rerating.run import Listener, RerateResult, settle
from schemas.codec import Codec
from schemas.price_book import book_id, read_book
from streams.log.memory import MemoryBroker, MemoryInputLog
from streams.log.topics import TopicNames
from streams.rating.deciding import apply_one
from streams.state.store import MemoryState
from tests.metering import meter
from tests.metering.meter import DAY, YEAR_BEGIN, Json

NAMES = TopicNames("rr")
RECORD_NAMES = {
    "hold": "Hold", "refund": "RefundRequest", "grant": "Grant", "account": "AccountUpdate", "price_book": "PriceBook",
}  # fmt: skip


@dataclass
class Rerated:
    """One re-rating: what it told, and what it comes to."""

    outcome: RerateResult
    rows: list[Row] = field(default_factory=list)
    corrections: list[Correction] = field(default_factory=list)

    @property
    def table(self) -> list[tuple[str, str, int, int, int]]:
        """(charge, credit type, changed, was, would be) of the rows."""
        return [(row.charge, row.credit_type, row.changed, row.was, row.would_be) for row in self.rows]

    @property
    def refunds(self) -> list[tuple[str, str, int]]:
        """(event, charge, credits)."""
        records = [correction.record for correction in self.corrections if correction.command == "refund"]
        return [(record["event_id"], record["charge"], record["credits"]) for record in records]

    @property
    def grants(self) -> list[tuple[str, int, tuple[str, ...]]]:
        """(charge, credits, events)."""
        return [(e.charge, e.record["credits"], e.events) for e in self.corrections if e.command == "grant"]

    @property
    def not_collected(self) -> dict[str, int]:
        return {name: money.not_collected for name, money in self.outcome.money.items() if money.not_collected}

    @property
    def decisions(self) -> dict[tuple[str, str, str], int]:
        return {key: change.lines for key, change in self.outcome.tallies.decisions.items()}

    @property
    def after(self) -> dict[tuple[str, str, str], int]:
        return {key: change.lines for key, change in self.outcome.tallies.after.items()}


class Books:
    """The log, and its books: every command is decided as it comes, so that a test can look at what it did."""

    def __init__(self, book: Json | None = None) -> None:
        self.broker = MemoryBroker()
        self.codec = Codec()
        self.source = ReplaySource(NAMES, 1, self.codec, read_book, MemoryInputLog(self.broker, NAMES.requests))
        self.state = State(MemoryStore(), read_book)
        if book is not None:
            self.publish(book)

    def publish(self, book: Json, at: int = YEAR_BEGIN) -> None:
        self.add("price_book", meter.price_book_record(book, at), at)

    def add(self, command: str, record: Json, recorded_at: int | None = None) -> list[Output]:
        """Into the log, and applied."""
        at = record[TIME_FIELD[Command(command)]] if recorded_at is None else recorded_at
        if command == "request":
            value = self.codec.encode("RequestBatch", {"events": [record]})
        else:
            value = self.codec.encode(RECORD_NAMES[command], record)
        offset = self.broker.append(NAMES.requests, 0, value, at)
        message = self.broker.records(NAMES.requests, 0)[offset]
        name, decoded = self.codec.decode_command(value)
        return apply_one(1, self.state, command, decoded["events"][0] if name == "request" else decoded, message)

    def event(self, event_id: str, at: int, **fields: Any) -> list[Output]:
        return self.add("request", meter.request(event_id, at, **fields))

    def refund(self, refund_id: str, event_id: str, at: int, **fields: Any) -> list[Output]:
        return self.add("refund", meter.refund(refund_id, event_id, at, **fields))

    def grant(self, grant_id: str, credits_: int, at: int, **fields: Any) -> list[Output]:
        return self.add("grant", meter.grant(grant_id, credits_, at, **fields))

    def hold(self, hold_id: str, credits_: int, at: int, **fields: Any) -> list[Output]:
        return self.add("hold", meter.hold(hold_id, credits_, at, **fields))

    def account(self, update_id: str, at: int, **fields: Any) -> list[Output]:
        return self.add("account", meter.account(update_id, at, **fields))

    def balance(self, credit_type: str = "credit", account_id: str = meter.ME) -> int:
        return self.state.account(account_id).amount(credit_type)

    def rerate(
        self, book: Json, start: int = YEAR_BEGIN, end: int = YEAR_BEGIN + 60 * DAY, *, at: int | None = None,
        accounts: frozenset[str] | None = None, netting: Netting = Netting.CHARGE,
    ) -> Rerated:  # fmt: skip
        """Re-rates the log as it stands; corrections are asked for at `at`, else when the log's last record came."""
        records = self.broker.records(NAMES.requests, 0)
        text = json.dumps(book)
        asked = Rerate(book_id(text), read_book(text), start, end, accounts)
        stores = Stores(MemoryState(), MemoryState(), MemoryState())
        rerating = PartitionRerating(self.source, asked, 0, stores)
        rerating.run(len(records))
        result = Rerated(RerateResult({0: len(records)}))
        listener = Listener(result.rows.append, result.corrections.append)
        moment = records[-1].timestamp if at is None else at
        settle(asked, rerating, netting, moment, result.outcome, listener)
        result.outcome.tallies.add(rerating.tallies)
        return result

    def apply(self, rerated: Rerated) -> list[list[Output]]:
        """Sends the corrections; gives what each caused."""
        return [self.add(str(correction.command), correction.record) for correction in rerated.corrections]
