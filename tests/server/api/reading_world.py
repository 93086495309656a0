"""A server over a store with usage of several accounts in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from application.access.secret_keys import SecretKeys
from application.errors import Failed
from application.in_memory import in_memory_pipeline
from application.prices.publishing import publish_book
from application.usage.store import SinkUsage
from server.api.reads import Reads, opened_reads
from sinks.embedded import EmbeddedSink
from streams.log.topics import TopicNames
from tests.application.contract import wait_until
from tests.application.usage.conftest import PARTITIONS, PATIENT, UsageLog, usage_log
from tests.metering.meter import NOON
from tests.server.world import ServerWorld, opened_world
from tests.sinks.outputs import load
from tests.stores import with_schema

BOOK = """\
price_lock: plan_period
rate_limits:
  - {name: search, when: {endpoint: /v1/people}, requests: 60, per: 1m, plans: {pro: 600}}
versions:
  - version: v1
    effective_from: 2020-01-01T00:00:00Z
    charges:
      - {charge: lookup, feature: Identification, action: IP lookup, credits: 20, unique: {by: [ip], within: 24h}}
      - charge: page
        feature: Search
        action: People search
        when: {endpoint: /v1/people}
        per: results
        credits: 2
        plans: {pro: 1}
      - {charge: mail, feature: Enrichment, action: E-mail, credit_type: email, when: {channel: js}, credits: 5}
      - {charge: ping, when: {endpoint: /v1/ping}, credits: 0}
  - version: dearer
    effective_from: 2999-01-01T00:00:00Z
    charges:
      - {charge: lookup, feature: Identification, action: IP lookup, credits: 25, unique: {by: [ip], within: 24h}}
"""


def wait_for_book(reads: Reads) -> None:
    """Returns when the book is known."""
    wait_until(lambda: _is_known(reads), "the price book is not known")


def _is_known(reads: Reads) -> bool:
    try:
        reads.book()
    except Failed:
        return False
    return True


@contextmanager
def opened_reading_world(folder: Path, *, load_usage: bool = True) -> Iterator[tuple[ServerWorld, UsageLog]]:
    """The server, and what the machine decided about the accounts that its store has."""
    sink, log = EmbeddedSink(with_schema(folder / "data")), usage_log(7, 90)
    try:
        if load_usage:
            load(sink, log.batches)
        pipeline = in_memory_pipeline(folder, partitions=PARTITIONS, sink=sink, names=TopicNames())
        publish_book(pipeline, BOOK, NOON)
        secrets = SecretKeys([b"s" * 32])
        with opened_reads(pipeline, SinkUsage(sink, PATIENT), secrets) as reads:
            wait_for_book(reads)
            with opened_world(pipeline, reads=reads) as world:
                yield world, log
    finally:
        sink.close()
