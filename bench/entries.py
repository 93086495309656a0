"""Who takes part, by title: this project's own contestants, and with `--peers` other stream processors."""

from __future__ import annotations

from pathlib import Path

from bench.contest import Entry, module, pipeline, rating_group
from bench.ends import Progress
from bench.peers import quix_streams, streams
from metering.compiled import MODE

PLAIN = "plain Faust, one event a message"
ONE = "this pipeline, one process"
TWO = "this pipeline, two processes"
CEILING = "the same loop without Faust"
ONE_INTERPRETED = "the same, one interpreted process"
TWO_INTERPRETED = "the same, two interpreted processes"
STREAMS_EXACTLY = "Kafka Streams, exactly_once_v2"
STREAMS_AT_LEAST = "Kafka Streams, at_least_once"
QUIX = "Quix Streams, at least once"

PEERS = (STREAMS_EXACTLY, STREAMS_AT_LEAST, QUIX)
_JAVA_WARM_UP = 0.3
"""Java compiles while it runs. A third of the work later, most of that is done."""


def own_entries() -> dict[str, Entry]:
    entries = {
        PLAIN: Entry(module("bench.plain_faust")),
        ONE: Entry(pipeline(1), rating_group),
        CEILING: Entry(module("bench.ceiling")),
        TWO: Entry(pipeline(2), rating_group),
    }
    if MODE.is_compiled:
        entries |= {
            ONE_INTERPRETED: Entry(pipeline(1, interpreted=True), rating_group),
            TWO_INTERPRETED: Entry(pipeline(2, interpreted=True), rating_group),
        }
    return entries


def peer_entries(folder: Path) -> dict[str, Entry]:
    """The peers, with all that they need fetched, and compiled into the folder.

    Raises ServerFailed where something cannot be had: which, why, and what to do.
    """
    streams.prepare(folder)
    quix_streams.prepare()
    exactly, at_least = (
        streams.kafka_streams(guarantee) for guarantee in (streams.EXACTLY_ONCE, streams.AT_LEAST_ONCE)
    )
    return {
        STREAMS_EXACTLY: Entry(exactly, streams.application, Progress.COMMITS, _JAVA_WARM_UP),
        STREAMS_AT_LEAST: Entry(at_least, streams.application, warm_up=_JAVA_WARM_UP),
        QUIX: Entry(quix_streams.quix_streams(), progress=Progress.SPREAD_OUTPUTS, is_slow=True),
    }
