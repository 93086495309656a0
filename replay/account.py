"""Replays one account: applies only its commands, on a state of its own.

An account's state depends on its own commands and on the price books of its partition, so a replay skips
all others. Nothing is sent and nobody's state is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from metering import MemoryStore
from metering.records import MAX_ID, Kind, Output
from metering.state import ReadBook, State
from metering.store import Store
from replay.commands import ReplayedCommand, commands_of
from replay.layered_store import LayeredStore
from schemas.codec import Codec
from schemas.errors import Undecodable
from streams.log.partitioner import partition_of
from streams.log.protocols import InputLog, LostPrefix, Message
from streams.log.topics import TopicNames
from streams.rating.deciding import apply_one, with_place

_COMMANDS_BETWEEN_WRITES = 2_000
_MESSAGES_BETWEEN_REPORTS = 256
_PRICE_BOOK = "PriceBook"

ProgressCallback = Callable[[int], None]
"""Called with the next offset as the replay goes on."""


def quiet(_offset: int) -> None:
    """Report no progress."""


@dataclass(frozen=True, slots=True)
class ReplaySource:
    """What a replay reads: the input log of one pipeline, and how its messages are understood."""

    names: TopicNames
    partitions: int
    codec: Codec
    read_book: ReadBook
    input_log: InputLog


def is_account_id(text: str) -> bool:
    """Whether an account can have this id: 1 to 128 characters that UTF-8 can hold."""
    return 0 < len(text) <= MAX_ID and not any("\ud800" <= character <= "\udfff" for character in text)


class Base(NamedTuple):
    """Where a replay begins: a store that is only read, the last offset in it (-1: none), and its name for people."""

    store: Store
    applied: int
    name: str
    close: Callable[[], None] = lambda: None


def beginning() -> Base:
    """The empty state that every log begins with."""
    return Base(MemoryStore(), -1, "the log's beginning")


class AccountReplay:
    """Replays one account over a base, once and forwards.

    `state` is everything replayed so far. `upper` takes what has changed since the base: an empty store of the caller's
    (on disk, for an account of any size), else it is kept in memory.
    """

    def __init__(self, source: ReplaySource, account_id: str, base: Base, upper: Store | None = None) -> None:
        """Raises ValueError for an id that no account can have."""
        if not is_account_id(account_id):
            raise ValueError(f"an account's id has 1 to {MAX_ID} characters, not {len(account_id)}")
        self.account_id = account_id
        self.partition = partition_of(account_id, source.partitions)
        self.base = base
        self.store = LayeredStore(base.store, MemoryStore() if upper is None else upper)
        self.state = State(self.store, source.read_book)
        self.applied = base.applied
        self._source = source
        self._needle = account_id.encode()
        self._uncommitted = 0

    @property
    def place(self) -> str:
        """The partition for people: topic[partition]."""
        return f"{self._source.names.requests}[{self.partition}]"

    def run(self, stop: int, progress: ProgressCallback = quiet) -> None:
        """Applies everything before offset `stop`; raises as `commands`."""
        for command in self.commands(stop, progress):
            self.apply(command)
        self.flush()

    def commands(self, stop: int, progress: ProgressCallback = quiet) -> Iterator[ReplayedCommand]:
        """The account's commands after `applied` and before offset `stop`, in order, each to be passed to `apply`.

        Take all of them, or throw the replay away. Raises LogError, LostPrefix where the log no longer reaches back to
        the base.
        """
        first = self.applied + 1
        kept = self._source.input_log.bounds(self.partition)[0]
        if first < min(kept, stop):
            raise LostPrefix(
                f"{self.place}: the log begins at {kept}, and {self.base.name} ends at {self.applied}: what is deleted "
                "between cannot be replayed; run this where the worker's state is, or where a newer checkpoint is"
            )
        for count, message in enumerate(self._source.input_log.read(self.partition, first, stop)):
            yield from self._commands_of(message)
            self.applied = message.offset
            if count % _MESSAGES_BETWEEN_REPORTS == 0:
                progress(message.offset + 1)
        self.applied = max(self.applied, stop - 1)
        progress(stop)

    def apply(self, command: ReplayedCommand) -> list[Output]:
        """Applies one command as the worker would; returns what it causes. May change the record in place."""
        message, state = command.message, self.state
        partitions = self._source.partitions
        outputs = apply_one(partitions, state, command.command, command.record, message, command.index, command.digest)
        if outputs and outputs[0].kind is Kind.DEAD_LETTER:
            outputs = [with_place(outputs[0], message, command.index, self._original(command))]
        self._uncommitted += 1
        if self._uncommitted >= _COMMANDS_BETWEEN_WRITES:
            self.flush()
        return outputs

    def flush(self) -> None:
        """Puts what was replayed into `store`, so that scans of it see everything."""
        self.store.write(self.state.changes())
        self.state.commit()
        self._uncommitted = 0

    def _commands_of(self, message: Message) -> Iterator[ReplayedCommand]:
        """The message's commands that concern the account."""
        codec = self._source.codec
        try:
            # An id stands in a record as its UTF-8, so most messages of others need not be decoded.
            if self._needle not in message.value and codec.name_of(message.value) != _PRICE_BOOK:
                return
        except Undecodable:  # a dead letter, of no account
            return
        yield from (command for command in commands_of(codec, message) if command.is_for(self.account_id))

    def _original(self, command: ReplayedCommand) -> bytes:
        """The bytes that a dead letter keeps: the message, or of a longer batch the event alone."""
        if command.index is None:
            return command.message.value
        events = self._source.codec.decode_command(command.message.value)[1]["events"]
        return (
            command.message.value if len(events) == 1 else self._source.codec.encode_event_alone(events[command.index])
        )
