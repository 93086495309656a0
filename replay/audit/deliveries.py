"""Compares the rows of what was sent to webhooks with the topic of deliveries: the newest record of each is its row.

They follow from no command, so nothing is replayed: the topic itself is what they are compared with.
"""

from __future__ import annotations

from collections.abc import Iterator

from replay.audit.findings import Difference, Finding, Note
from replay.audit.partition import AuditLogs
from replay.audit.rows import RowStore
from streams.loading.positions import READ
from streams.log.protocols import RecordLog
from streams.log.seals import SealedLog

_TABLE = "delivery_rows"
_ROWS = f"SELECT delivery_id, status, log_offset FROM {_TABLE} FINAL WHERE log_partition = "  # noqa: S608 -- ours


def compare_deliveries(store: RowStore, logs: AuditLogs, note: Note) -> None:
    """Notes each delivery whose row is missing, older than its record, or says something else of it.

    Rows of what the topic has removed are right. Raises LogUnavailable.
    """
    if logs.deliveries is None:
        return
    topic = logs.names.deliveries
    for loaded_topic, partition, reached, _digest, _source in store.rows(READ):
        if loaded_topic == topic and 0 <= partition < logs.partitions:
            rows = {row[0]: (row[1], row[2]) for row in store.rows(f"{_ROWS}{int(partition)}")}
            for delivery_id, status, offset in _newest(logs, logs.deliveries, partition, reached):
                difference = _difference(rows.get(delivery_id), status, offset, reached)
                if difference is not None:
                    place = f"{_TABLE} {delivery_id} ({topic}[{partition}]@{offset})"
                    note(Difference(difference[0], place, None, difference[1]))


def _difference(row: tuple[str, int] | None, status: str, offset: int, reached: int) -> tuple[Finding, str] | None:
    if row is None:
        return Finding.MISSING, f"the record says {status}"
    if row[1] > reached:  # it was loaded while this was looked at
        return None
    if row != (status, offset):
        return Finding.DIFFERENT, f"the record says {status}; the row says {row[0]}, of the record at {row[1]}"
    return None


def _newest(logs: AuditLogs, log: RecordLog, partition: int, reached: int) -> Iterator[tuple[str, str, int]]:
    """The newest record of each delivery up to an offset: its id, status and offset."""
    newest: dict[str, tuple[str, int]] = {}
    first, end = log.bounds(partition)
    for message in SealedLog(log, logs.names.deliveries, logs.seals).read(partition, first, min(end, reached + 1)):
        if message.value:
            name, record = logs.codec.decode(message.value)
            if name == "Delivery":
                newest[record["delivery_id"]] = record["status"], message.offset
    return ((delivery_id, status, offset) for delivery_id, (status, offset) in newest.items())
