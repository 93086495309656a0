"""Compares how far the store says it is with the log: the loader goes on from there, and readers are told of it."""

from __future__ import annotations

from replay.audit.findings import Difference, Finding, Note
from replay.audit.partition import AuditLogs
from replay.audit.rows import RowStore
from streams.loading.continuity import LogTopics, check_loaded
from streams.loading.positions import NOT_KNOWN, READ, TABLE, Loaded
from streams.log.protocols import InputLog, LogChanged
from streams.log.source_position import NO_OUTPUT, source_position

_LOOKED_BACK = 1_000
"""Records before a position among which its last input message is looked for first."""


def compare_loaded_positions(store: RowStore, logs: AuditLogs, note: Note) -> None:
    """Notes each position that is of no partition, of another record, or of a message that comes after its record.

    Where retention has deleted the record, only the end of the topic is compared. Raises LogUnavailable.
    """
    deliveries = {} if logs.deliveries is None else {logs.names.deliveries: logs.deliveries}
    topics = LogTopics({**logs.output_logs, **deliveries})
    for topic, partition, offset, digest, source_offset in store.rows(READ):
        name = f"{TABLE} {topic}[{partition}]"
        if topic not in logs.names.loaded or not 0 <= partition < logs.partitions:
            note(Difference(Finding.UNEXPECTED, name, None, "nothing is loaded from there"))
            continue
        if topic not in topics.names:
            continue
        try:
            check_loaded(
                topics, (topic, partition), Loaded(offset, digest), patience=0, is_compacted=topic in deliveries
            )
        except LogChanged as error:
            note(Difference(Finding.DIFFERENT, name, None, str(error)))
            continue
        if topic in deliveries:  # it has no sources
            continue
        last = _last_source(logs.own_outputs[topic], partition, offset, source_offset)
        if last is not None and source_offset > last:
            detail = f"its source_offset is {source_offset}, but the records up to {offset} end with input {last}"
            note(Difference(Finding.DIFFERENT, name, None, detail))


def _last_source(log: InputLog, partition: int, offset: int, claimed: int) -> int | None:
    """The last input message that a record up to `offset` comes from; None where that need not or cannot be known.

    It is near the end, unless a worker sent many outputs again.
    """
    if claimed == NOT_KNOWN:
        return None
    first = log.bounds(partition)[0]
    for start in (max(first, offset - _LOOKED_BACK), first):
        position = max(map(source_position, log.read(partition, start, offset + 1)), default=NO_OUTPUT)
        if position[0] >= claimed:
            return position[0]
    return None if first > offset else position[0]
