"""Rating a file: the stream's own state machine, fed from NDJSON commands, its outputs written as NDJSON.

Memory holds the accounts' live state and no more: what is forgotten is swept as the file goes on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from application.input.ndjson import BadLine, InputCommand
from application.input.rating_summary import Summary
from metering import Kind, MemoryStore, Output, State, Sweeper, apply
from metering.records import YEAR_2000, Command, DeadLetterReason
from schemas.price_book import book_id, read_book
from schemas.reading import digest_of

_COMMANDS_BETWEEN_WRITES = 1_000
_ROWS_SWEPT_AT_A_WRITE = 10_000
_GRANT_FIELDS = ("grant_id", "account_id", "credit_type", "status", "credits", "expires_at", "balance_after", "reason")
_REPEAT_FIELDS = ("command", "account_id", "id", "same_content")


class Rater:
    """One price book over one file of commands. Not for two files: their line numbers would mix."""

    def __init__(self, yaml: str) -> None:
        """Put the book in force before the first command. Raises BookFileError."""
        self.summary = Summary()
        self._store = MemoryStore()
        self._state = State(self._store, read_book)
        self._sweeper = Sweeper(self._state)
        read_book(yaml)
        record = {"book_id": book_id(yaml), "yaml": yaml, "published_at": YEAR_2000}
        if refused := apply(self._state, Command.PRICE_BOOK, record, YEAR_2000):
            raise RuntimeError(f"a book that reads well was refused: {refused}")

    def rate(self, commands: Iterable[InputCommand | BadLine]) -> Iterator[dict[str, Any]]:
        """The outputs of all commands, in order, as they are printed."""
        for waiting, command in enumerate(commands, 1):
            if isinstance(command, BadLine):
                self.summary.count_bad(command)
                yield dead_letter(command.reason, command.field, command.line_number)
            else:
                outputs = self._apply(command)
                self.summary.count(command, outputs)
                for output in outputs:
                    if output.kind is not Kind.ACCOUNT:  # it would only repeat the line that was read
                        yield _printed(output, command.line_number)
            if waiting % _COMMANDS_BETWEEN_WRITES == 0:
                self._write()

    def _apply(self, command: InputCommand) -> list[Output]:
        """A line's number stands for the offset of a message, and the digest is of what the line says.

        So two lines that differ in white space, the order of keys or the way a time is written are the same command.
        """
        said = _encode_sorted(command.record).encode()
        number = command.line_number
        return apply(self._state, command.name, command.record, command.recorded_at, number, None, digest_of(said))

    def _write(self) -> None:
        self._sweeper.sweep(_ROWS_SWEPT_AT_A_WRITE)
        self._store.write(self._state.changes())
        self._state.commit()


def dead_letter(reason: DeadLetterReason, name: str | None, line_number: int) -> dict[str, Any]:
    """A dead letter as it is printed."""
    return {"type": Kind.DEAD_LETTER, "reason": reason, "field": name, "line_number": line_number}


def _printed(output: Output, line_number: int) -> dict[str, Any]:
    record = output.record
    if output.kind is Kind.DEAD_LETTER:
        return dead_letter(record["reason"], record["field"], line_number)
    if output.kind is Kind.REPEATED:
        record = {name: record[name] for name in _REPEAT_FIELDS}
        return {"type": output.kind, **record, "first_line_number": output.record["first_offset"]}
    if output.kind is Kind.GRANT:
        record = {name: record[name] for name in _GRANT_FIELDS}
    return {"type": output.kind, **record}


def to_line(record: dict[str, Any]) -> bytes:
    """One object as a line of NDJSON. Half a surrogate pair, which UTF-8 cannot hold, becomes JSON's own escape."""
    return _encode(record).encode("utf-8", "backslashreplace") + b"\n"


# Made once: json.dumps would make one for every line.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_encode_sorted = json.JSONEncoder(sort_keys=True).encode
