"""The commands in the messages of the input log, as a replay takes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from metering.records import Command, Record
from schemas.codec import Codec
from schemas.errors import Undecodable
from streams.log.protocols import Message


@dataclass(frozen=True, slots=True)
class ReplayedCommand:
    """One command of the log. `index` is its place in a batch of events; None for a command that is alone.

    `digest` is that of its bytes, as `Codec.decode_commands` returns it.
    """

    message: Message
    index: int | None
    command: str
    record: Record
    digest: bytes

    def is_for(self, account_id: str) -> bool:
        """Whether the command concerns this account: its own command, or a price book."""
        return self.command == Command.PRICE_BOOK or self.record["account_id"] == account_id


def commands_of(codec: Codec, message: Message) -> Iterator[ReplayedCommand]:
    """A message's commands in order. None where it cannot be decoded: that is a dead letter, of no account."""
    try:
        command, records, digests = codec.decode_commands(message.value)
    except Undecodable:
        return
    is_batch = command == Command.REQUEST
    for index, (record, digest) in enumerate(zip(records, digests, strict=True)):
        yield ReplayedCommand(message, index if is_batch else None, command, record, digest)
