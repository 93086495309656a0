"""Reading the dead letters of the log: in order, each with its place, and its original bytes in full.

A dead letter is named by the place of the command that was set aside (`streams.log.place`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from application.errors import ErrorCode, Failed, Misconfigured
from application.pipeline import Pipeline
from schemas.codec import Codec
from schemas.errors import Undecodable
from streams.log.partitioner import partition_of
from streams.log.place import Place
from streams.log.protocols import InputLog, LostPrefix


@dataclass(frozen=True)
class DeadLetter:
    """One dead letter: its place and its record (the fields of the DeadLetter schema)."""

    place: Place
    record: dict[str, Any]

    @property
    def is_cut(self) -> bool:
        """Whether the log of dead letters holds only the beginning of the original."""
        return bool(self.record["size"] > len(self.record["original"]))

    def row(self) -> dict[str, Any]:
        """Everything but the original, as plain data."""
        return {"place": str(self.place)} | {name: value for name, value in self.record.items() if name != "original"}


class DeadLetterLog:
    """The dead letters of one pipeline; `letters` and `commands` are the two topics of it."""

    def __init__(self, letters: InputLog, commands: InputLog, codec: Codec, partitions: int) -> None:
        self._letters = letters
        self._commands = commands
        self._codec = codec
        self._partitions = partitions

    @classmethod
    def of(cls, pipeline: Pipeline) -> DeadLetterLog:
        """Those of a pipeline."""
        letters = pipeline.own_output(pipeline.names.dead_letters)
        return cls(letters, pipeline.input_log, pipeline.codec, pipeline.partitions)

    def read(self, partition: int | None = None) -> Iterator[DeadLetter]:
        """All that are kept, by partition and in order; what a worker sent twice comes once. Raises LogError.

        What no worker wrote is skipped: the audit reports it.
        """
        for number in range(self._partitions) if partition is None else (partition,):
            first, stop = self._letters.bounds(number)
            last = (-1, -1)
            for message in self._letters.read(number, first, stop):
                batch = self._batch(message.value)
                if batch is None:
                    continue
                position = (batch["source_offset"], batch["part"])
                if position <= last:
                    continue
                last = position
                for record in batch["dead_letters"]:
                    yield DeadLetter(Place(number, batch["source_offset"], record["index"]), record)

    def _batch(self, value: bytes) -> dict[str, Any] | None:
        """The batch of dead letters; None for anything else that somebody put into the topic."""
        try:
            name, batch = self._codec.decode(value)
        except Undecodable:
            return None
        return batch if name == "DeadLetterBatch" else None

    def earliest(self) -> int | None:
        """The log's time (ms) of the earliest that is kept; None where there is none. Raises LogError."""
        firsts = (next(self.read(partition), None) for partition in range(self._partitions))
        return min((letter.record["recorded_at"] for letter in firsts if letter is not None), default=None)

    def find(self, place: Place) -> DeadLetter | None:
        """The one at a place; a place without index also finds the only one of a batch. Raises LogError."""
        if place.partition >= self._partitions:
            return None
        letters = [letter for letter in self.read(place.partition) if letter.place.offset == place.offset]
        exact = [letter for letter in letters if letter.place.index == place.index]
        if exact:
            return exact[0]
        return letters[0] if place.index is None and len(letters) == 1 else None

    def at(self, text: str) -> DeadLetter:
        """The one at a place as people write it. Raises Misconfigured, Failed where there is none, LogError."""
        try:
            place = Place.parse(text)
        except ValueError as error:
            raise Misconfigured(str(error)) from error
        letter = self.find(place)
        if letter is None:
            raise Failed(
                f"There is no dead letter at {place}; `creditmeter dead-letters list` shows places.",
                ErrorCode.NOT_FOUND,
            )
        return letter

    def matching(
        self, reason: str | None = None, account: str | None = None, producer: str | None = None
    ) -> Iterator[DeadLetter]:
        """Those that fit all that is given, by partition and in order. Raises LogError."""
        asked = {"reason": reason, "account_id": account, "producer": producer}
        for letter in self.read():
            if all(value is None or letter.record[name] == value for name, value in asked.items()):
                yield letter

    def original(self, letter: DeadLetter) -> bytes:
        """The bytes that can be sent again: those kept, or where they were cut, from the message that brought them.

        Raises LostPrefix when that message is no longer in the log.
        """
        if not letter.is_cut:
            return bytes(letter.record["original"])
        place = letter.place
        for message in self._commands.read(place.partition, place.offset, place.offset + 1):
            if place.index is None or len(message.value) == letter.record["size"]:
                return message.value
            _, batch = self._codec.decode(message.value)
            return self._codec.encode_event_alone(batch["events"][place.index])
        raise LostPrefix(f"{place}: the message that brought this dead letter holds no record any more")

    def target(self, letter: DeadLetter) -> int:
        """The partition to send it to again: its account's, or where nobody could read it, the one it came from."""
        account_id = letter.record["account_id"]
        return partition_of(account_id, self._partitions) if account_id else letter.place.partition

    def decoded(self, original: bytes) -> tuple[str, dict[str, Any]] | None:
        """The record that the bytes hold, by name; None where they hold none."""
        try:
            return self._codec.decode(original)
        except Undecodable:
            return None


def hex_lines(data: bytes, width: int = 16) -> Iterator[str]:
    """Bytes for people: position, hexadecimal, and what of them is printable."""
    for start in range(0, len(data), width):
        row = data[start : start + width]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        yield f"{start:08x}  {row.hex(' '):{width * 3}} {text}"
