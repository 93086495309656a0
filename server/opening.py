"""Makes a server's parts over a pipeline, in the loop that they belong to, and ends them in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from application.access.access import Access, opened_access, secret_keys_of
from application.access.authenticator import Authenticator, KeyAuthenticator
from application.accounts.unloaded import UnloadedOutputs, overlaid_topics
from application.configuration.settings import Settings
from application.ingest.accepting import EventIntake
from application.ingest.decisions import Decisions
from application.pipeline import Pipeline
from server.api.reads import Reads
from server.limits import Bounds
from server.parts import Parts, PublicFace
from streams.log.decision_tail import DecisionTail
from streams.log.event_sender import EventSender

_FLUSH_SECONDS = 8.0


@contextmanager
def opened_authenticator(settings: Settings, pipeline: Pipeline) -> Iterator[KeyAuthenticator]:
    """Who tells keys apart: by the topic of access, read to its end and followed. Raises UseCaseError."""
    with opened_access(pipeline, secret_keys_of(settings)) as access:
        access.follow()
        yield KeyAuthenticator(access)


@asynccontextmanager
async def opened_parts(
    pipeline: Pipeline,
    authenticator: Authenticator,
    face: PublicFace | None = None,
    bounds: Bounds | None = None,
    reads: Reads | None = None,
    access: Access | None = None,
) -> AsyncIterator[Parts]:
    """The parts of one server. Its tail follows before the block begins; its sender is flushed after it ends.

    Raises LogError where Kafka does not answer.
    """
    names = pipeline.names
    _ = pipeline.input_log, pipeline.results  # made before several threads ask for them
    source = pipeline.connections.tail_source(overlaid_topics(names))
    tail = DecisionTail(source, pipeline.seals)
    await asyncio.to_thread(tail.start)
    try:
        sender = EventSender(pipeline.connections.message_sender(), pipeline.codec)
        try:
            intake = EventIntake(sender, pipeline.codec, pipeline.partitions, pipeline.log_id)
            decisions = Decisions(tail, pipeline.codec, names)
            parts = Parts(pipeline, authenticator, intake, decisions, reads, face or PublicFace(), bounds or Bounds())
            parts.access = access
            parts.unloaded = UnloadedOutputs(tail, pipeline.codec, names, pipeline.partitions)
            parts.ready_for_events.append(intake.problem)
            if reads is not None:
                parts.ready_for_reads.append(reads.problem)
            parts.metrics.unacknowledged.set_function(lambda: float(sender.unacknowledged))
            parts.metrics.tail_lag.set_function(lambda: tail.lag_seconds)
            parts.metrics.tail_bytes.set_function(lambda: float(tail.bytes))
            yield parts
        finally:
            await sender.close(_FLUSH_SECONDS)
    finally:
        await asyncio.to_thread(tail.close)
