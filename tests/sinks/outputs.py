"""Batches to load: what the real machine decides, cut into messages and parts as the stream does it."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from schemas.codec import Codec
from schemas.column_plans import Gathered
from sinks.inserts import inserts_of, inserts_of_columns
from sinks.rows import SHAPES
from sinks.sink import Sink
from tests.metering.meter import DAY, HOUR, NOON, MachineMeter, account, book, charge, grant, refund, request

Json = dict[str, Any]
Batch = tuple[str, Json]
"""A batch with the name of its Avro record."""

RECORD_OF = {
    "billed": "BilledBatch",
    "refund": "RefundBatch",
    "grant": "GrantBatch",
    "alert": "AlertBatch",
    "dead_letter": "DeadLetterBatch",
    "hold": "HoldBatch",
    "account": "AccountBatch",
}
CODEC = Codec()
BOOK = book(
    charge("lookup", 20, feature="Identification", action="IP lookup", unique=(["ip"], "24h")),
    charge("mail", 5, feature="Enrichment", action="E-mail", credit_type="email", when={"channel": "js"}),
)


class Log:
    """One partition: each message goes through the machine, and its outputs are kept as batches."""

    def __init__(self, book_mapping: Json = BOOK, partition: int = 3) -> None:
        self.meter = MachineMeter(book_mapping)
        self.partition = partition
        self.next_offset = 0
        self.batches: list[Batch] = []

    def message(self, *commands: tuple[str, Json], part_size: int = 2, recorded_at: int = NOON + 300 * DAY) -> None:
        """One message: several request events, or one other command. `recorded_at` in ms."""
        outputs: dict[str, list[Json]] = defaultdict(list)
        for index, (command, record) in enumerate(commands):
            for kind, item in self.meter.apply(command, record, recorded_at):
                if kind != "repeated":
                    outputs[kind].append(self._whole(kind, item, index, recorded_at))
        for kind, items in outputs.items():
            name = RECORD_OF[kind]
            parts = [items[at : at + part_size] for at in range(0, len(items), part_size)]
            for part, some in enumerate(parts):
                batch = {"source_partition": self.partition, "source_offset": self.next_offset, "part": part}
                self.batches.append((name, batch | {"parts": len(parts), SHAPES[name].items: some}))
        self.next_offset += 1

    def _whole(self, kind: str, item: Json, index: int, recorded_at: int) -> Json:
        """The item as the stream sends it, which knows more of a dead letter than the machine does."""
        if kind != "dead_letter":
            return item
        place = {"index": index, "producer": "tests", "recorded_at": recorded_at}
        return item | place | {"size": 4, "original": b"\xc3\x01\xff\x00"}

    def balance_at(self, account_id: str, credit_type: str, at: int) -> int:
        """The machine's own balance, less the grants that are over at ``at``."""
        return self.meter.state.account(account_id).amount_at(credit_type, at)


def load(sink: Sink, batches: Iterable[Batch], name: str | None = None) -> None:
    """Inserts the batches, those of one record at once, as the loader does: from their bytes."""
    gathered = Gathered()
    for record_name, batch in batches:
        if name is None or record_name == name:
            CODEC.gather(CODEC.encode(record_name, batch), gathered, lambda _: True)
    for record_name, columns in gathered.columns.items():
        for rows in inserts_of_columns(record_name, columns):
            sink.insert(*rows)


def load_records(sink: Sink, batches: Iterable[Batch]) -> None:
    """As `load`, from records."""
    by_name: dict[str, list[Json]] = defaultdict(list)
    for record_name, batch in batches:
        by_name[record_name].append(batch)
    for record_name, some in by_name.items():
        for rows in inserts_of(record_name, some):
            sink.insert(*rows)


def random_log(seed: int, messages: int = 60) -> Log:
    """Two accounts' commands: charges in batches, grants that end soon, late or never, refunds whole and in part."""
    rng = random.Random(seed)
    log = Log()
    at = NOON
    for number in range(messages):
        at += rng.randrange(6 * HOUR)
        who = rng.choice(["acme", "zenith"])
        kind = rng.choices(["request", "grant", "refund", "account"], [6, 3, 4, 1])[0]
        if kind == "request":
            events = [_random_event(rng, f"e{number}-{i}", who, at + i) for i in range(rng.randrange(1, 5))]
            log.message(*(("request", event) for event in events))
        elif kind == "grant":
            ends = rng.choice([None, at + rng.randrange(1, 10 * DAY), at + 100 * 365 * DAY])
            credit_type = rng.choice(["credit", "credit", "email"])
            fields = {"account_id": who, "expires_at": ends, "credit_type": credit_type}
            log.message(("grant", grant(f"g{number}", rng.randrange(1, 150), at, **fields)))
        elif kind == "refund":
            event_id = f"e{rng.randrange(number + 1)}-{rng.randrange(3)}"
            fields = {"account_id": who, "charge": rng.choice([None, "lookup"]), "credits": rng.choice([None, 3, 7])}
            # Sometimes the request is older than what the account has heard last.
            log.message(("refund", refund(f"r{number}", event_id, at - rng.choice([0, 3 * DAY]), **fields)))
        else:
            log.message(("account", account(f"u{number}", at + rng.randrange(2 * DAY), account_id=who)))
    return log


def _random_event(rng: random.Random, event_id: str, who: str, at: int) -> Json:
    outcome = rng.choice(["processed", "processed", "processed", "failed"])
    channel = rng.choice(["api", "js"])
    fields = {"account_id": who, "ip": f"10.0.0.{rng.randrange(6)}", "channel": channel, "outcome": outcome}
    late = rng.choice([0, 0, DAY, 50 * DAY])
    return request(event_id, at - late, **fields)
