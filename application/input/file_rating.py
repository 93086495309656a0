"""Rating a file: the stream's own state machine, fed from NDJSON commands, its outputs written as NDJSON.

Memory holds the accounts' live state and no more: what is forgotten is swept as the file goes on.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from application.input.ndjson import BadLine, InputCommand
from metering import Kind, MemoryStore, Output, State, Sweeper, apply
from metering.records import YEAR_2000, Command, DeadLetterReason, Decision
from schemas.price_book import book_id, read_book
from schemas.reading import digest_of

_COMMANDS_BETWEEN_WRITES = 1_000
_ROWS_SWEPT_AT_A_WRITE = 10_000
_GRANT_FIELDS = ("grant_id", "account_id", "credit_type", "status", "credits", "expires_at", "balance_after", "reason")

_REPEAT_FIELDS = ("command", "account_id", "id", "same_content")


@dataclass
class Summary:
    """What a run came to; credits by credit type."""

    commands: Counter[str] = field(default_factory=Counter)
    decisions: Counter[str] = field(default_factory=Counter)
    charged: Counter[str] = field(default_factory=Counter)
    refunded: Counter[str] = field(default_factory=Counter)
    dead_letters: Counter[str] = field(default_factory=Counter)
    holds: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    other_content: int = 0

    def count(self, output: Output) -> None:
        """Add one output of the machine."""
        record = output.record
        if output.kind is Kind.BILLED:
            self.decisions[record["decision"]] += 1
            if record["decision"] == Decision.CHARGED:
                self.charged[record["credit_type"]] += record["credits"]
        elif output.kind is Kind.REFUND and record["status"] == "refunded":
            self.refunded[record["credit_type"]] += record["credits"]
        elif output.kind is Kind.DEAD_LETTER:
            self.dead_letters[record["reason"]] += 1
        elif output.kind is Kind.REPEATED:
            self.repeated += 1
            self.other_content += record["same_content"] is False
        elif output.kind is Kind.HOLD:
            self.holds[record["status"]] += 1

    def sentences(self) -> list[str]:
        """The summary for people, a line each."""
        lines = [f"{_counted(self.commands)}" if self.commands else "no commands"]
        if self.repeated:
            lines.append(f"repeated, no effect: {self.repeated:,}")
        if self.other_content:
            lines.append(f"repeated with other content: {self.other_content:,}")
        if self.decisions:
            lines.append(f"lines by decision: {_counted(self.decisions)}")
        lines.extend(f"charged: {amount:,} {credit_type}" for credit_type, amount in sorted(self.charged.items()))
        lines.extend(f"refunded: {amount:,} {credit_type}" for credit_type, amount in sorted(self.refunded.items()))
        if self.holds:
            lines.append(f"holds: {_counted(self.holds)}")
        if self.dead_letters:
            lines.append(f"dead letters: {_counted(self.dead_letters)}")
        return lines


def _counted(counter: Counter[str]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counter.items()))


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
                self.summary.commands["unreadable"] += 1
                self.summary.dead_letters[command.reason] += 1
                yield dead_letter(command.reason, command.field, command.line_number)
            else:
                self.summary.commands[command.name] += 1
                for output in self._apply(command):
                    self.summary.count(output)
                    if output.kind is not Kind.ACCOUNT:  # it would only repeat the line that was read
                        yield _printed(output, command.line_number)
            if waiting % _COMMANDS_BETWEEN_WRITES == 0:
                self._write()

    def _apply(self, command: InputCommand) -> list[Output]:
        """A line's number stands for the offset of a message, and the digest is of what the line says.

        So two lines that differ in white space, the order of keys or the way a time is written are the same command.
        """
        said = json.dumps(command.record, sort_keys=True).encode()
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
