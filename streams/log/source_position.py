"""Which input message an output batch comes from, for everybody who reads output topics."""

from __future__ import annotations

from schemas.batches import read_head
from schemas.errors import Undecodable
from streams.log.protocols import Message

SourcePosition = tuple[int, int]
"""(source_offset, part): names an output of its topic and partition, and only rises there."""
NO_OUTPUT: SourcePosition = (-1, -1)
"""The position of a record that no worker wrote: before every output, so that readers skip it as they skip doubles."""


def source_position(message: Message) -> SourcePosition:
    """The position of an output batch, read without decoding its items; NO_OUTPUT for any other record."""
    try:
        return read_head(message.value).source
    except Undecodable:
        return NO_OUTPUT
