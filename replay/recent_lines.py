"""The newest lines of one account, read from the end of its billed partition backwards."""

from __future__ import annotations

from typing import NamedTuple

from metering.records import Record
from schemas.codec import Codec
from schemas.errors import Undecodable
from streams.log.protocols import InputLog, Message
from streams.log.source_position import SourcePosition, source_position

_FIRST_STRETCH = 256
_GROWTH = 4
LOOKED_AT = 65_536
"""Messages that are looked at before it gives up: an account that has been silent for long may have its lines far
back, and this is for a look, not for a search."""


class Tail(NamedTuple):
    """The lines, oldest first. `is_whole`: there are no older ones, or as many as were asked for."""

    lines: list[Record]
    is_whole: bool


def newest_lines(
    log: InputLog, codec: Codec, partition: int, account_id: str, count: int, up_to: int, looked_at: int = LOOKED_AT
) -> Tail:
    """The account's last `count` lines that input offsets up to `up_to` caused. `log` is the topic of billed events.

    Skips records that no worker wrote: the audit reports them. Raises LogError.
    """
    needle = account_id.encode()
    kept, end = log.bounds(partition)
    lines_by_position: dict[SourcePosition, list[Record]] = {}
    stop, stretch, left = end, _FIRST_STRETCH, looked_at
    while stop > kept and left > 0 and sum(map(len, lines_by_position.values())) < count:
        first = max(kept, stop - min(stretch, left))
        for message in log.read(partition, first, stop):
            if needle not in message.value:  # an id stands in a record as its UTF-8
                continue
            position = source_position(message)
            if not 0 <= position[0] <= up_to or position in lines_by_position:  # a double has the same bytes
                continue
            if (events := _lines_of(codec, message)) is not None:
                lines_by_position[position] = [event for event in events if event["account_id"] == account_id]
        left -= stop - first
        stop, stretch = first, stretch * _GROWTH
    lines = [line for position in sorted(lines_by_position) for line in lines_by_position[position]]
    return Tail(lines[-count:] if count else [], stop <= kept or len(lines) >= count)


def _lines_of(codec: Codec, message: Message) -> list[Record] | None:
    """The lines of a batch of them; None for any other record."""
    try:
        name, batch = codec.decode(message.value)
    except Undecodable:
        return None
    return batch["events"] if name == "BilledBatch" else None
