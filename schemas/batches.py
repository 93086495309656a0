"""Output batches: the position at their head, and splitting what would be too large for the broker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from schemas.catalog import BATCHES, fingerprint_of, released, short_name
from schemas.errors import DAMAGED, NOT_A_BATCH, Undecodable
from schemas.wire import (
    SINGLE_OBJECT,
    SINGLE_OBJECT_LENGTH,
    DamagedBody,
    frame_length,
    read_long,
    single_object_header,
    write_long,
)

PART_LIMIT = 512 * 1024
"""Bytes of one output message, framing included, unless a single item is larger."""
HEAD_RESERVE = 64
"""Bytes kept free for a part's framing, position and counts: more than they ever take, so that the split depends on
the items alone and not on the framing in use."""


class Position(NamedTuple):
    """Where an output message stands: the first four fields of every batch record, in every version."""

    source_partition: int
    source_offset: int
    part: int
    parts: int

    @property
    def source(self) -> tuple[int, int]:
        """(source_offset, part): names an output of its topic and partition, and only rises there."""
        return self.source_offset, self.part


def read_head(data: bytes) -> Position:
    """The position of an output batch, without decoding its items.

    Raises `Undecodable` for anything that is not one; of a registry's message only the framing is checked.
    """
    at = frame_length(data)
    if data.startswith(SINGLE_OBJECT) and data[:SINGLE_OBJECT_LENGTH] not in _batch_headers():
        raise Undecodable(NOT_A_BATCH)
    return head_at(data, at)


def head_at(data: bytes, at: int) -> Position:
    """The position of an output batch whose body begins at ``at``. Raises `Undecodable`."""
    numbers = []
    try:
        for _ in Position._fields:
            number, at = read_long(data, at)
            numbers.append(number)
    except (IndexError, DamagedBody):
        raise Undecodable(DAMAGED) from None
    return Position(*numbers)


def read_position(data: bytes) -> tuple[int, int]:
    """(source_offset, part) of an output batch, which name it and only rise in a partition. Raises as `read_head`."""
    return read_head(data).source


@cache
def _batch_headers() -> frozenset[bytes]:
    return frozenset(
        single_object_header(fingerprint_of(schema)) for schema in released() if short_name(schema) in BATCHES
    )


def split(sizes: Sequence[int], limit: int) -> Iterator[tuple[int, int]]:
    """Ranges (first, stop) of items, each as long as its ``sizes`` (bytes) allow; a larger item goes alone."""
    first, room = 0, limit - HEAD_RESERVE
    for index, size in enumerate(sizes):
        if index > first and size > room:
            yield first, index
            first, room = index, limit - HEAD_RESERVE
        room -= size
    if first < len(sizes):
        yield first, len(sizes)


def cut(arrays: Mapping[str, list[Any]], first: int, stop: int) -> dict[str, list[Any]]:
    """The part of each array that lies in the range (first, stop) of all items, counted through the arrays in order."""
    some: dict[str, list[Any]] = {}
    for name, items in arrays.items():
        some[name] = items[max(first, 0) : max(stop, 0)]
        first -= len(items)
        stop -= len(items)
    return some


def body(head: Position, arrays: Mapping[str, Sequence[bytes]]) -> bytes:
    """The body of a batch record whose items are encoded already: its position, then each array in one block."""
    pieces = [write_long(number) for number in head]
    for items in arrays.values():
        if items:
            pieces.append(write_long(len(items)))
            pieces += items
        pieces.append(_END)
    return b"".join(pieces)


def body_size(source_partition: int, source_offset: int, arrays: Mapping[str, Sequence[bytes]]) -> int:
    """The length of `body` for all of the items in one part."""
    head = sum(len(write_long(number)) for number in Position(source_partition, source_offset, 0, 1))
    counts = sum(len(write_long(len(items))) for items in arrays.values() if items)
    return head + counts + sum(len(item) for items in arrays.values() for item in items) + len(arrays)


_END = b"\x00"
"""The empty block that ends an array."""
