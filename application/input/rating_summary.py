"""The summary of a run of `rate` for people: counts, credits, and the first line of everything that went wrong."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from application.input.ndjson import BadLine, InputCommand
from metering import Kind, Output
from metering.records import TIME_FIELD, Command, DeadLetterReason, Decision, RefundStatus
from metering.windows import format_instant

_Key = TypeVar("_Key")
_KINDS_SHOWN = 20
_NO_EFFECT = frozenset((Kind.DEAD_LETTER, Kind.REPEATED))
_AHEAD = (
    "  where that line's time is wrong: --recorded-at TIME sets it aside (in_future), as the stream does, not those "
    "behind it"
)
_UNCHARGED = {Decision.UNPRICED: "no charge applies", Decision.MISSING_SUBJECT: "a unique subject is missing"}


class _Newest(NamedTuple):
    """The accepted command whose time is an account's stream time (SPEC 3, step 2)."""

    line_number: int
    at: int
    is_recorded_then: bool
    """Whether it entered the log at its own time, since nobody said when: it is never in the future then."""


@dataclass(slots=True)
class _Occurrences:
    """How often something happened, and where first."""

    count: int
    where: str


@dataclass
class Summary:
    """The counts of a run; credits by credit type. `unfinished` is the number of a last line that was left out."""

    commands: Counter[str] = field(default_factory=Counter)
    decisions: Counter[str] = field(default_factory=Counter)
    charged: Counter[str] = field(default_factory=Counter)
    refunded: Counter[str] = field(default_factory=Counter)
    dead_letters: Counter[str] = field(default_factory=Counter)
    holds: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    other_content: int = 0
    unfinished: int | None = None
    _newest: dict[str, _Newest] = field(default_factory=dict)
    _is_ahead: bool = False
    _kinds: dict[tuple[str, str | None], _Occurrences] = field(default_factory=dict)
    _uncharged: dict[str, _Occurrences] = field(default_factory=dict)

    def count_bad(self, line: BadLine) -> None:
        """Add a line that is no command."""
        self.commands["unreadable"] += 1
        self.dead_letters[line.reason] += 1
        why = f", which {line.why}" if line.why else ""
        _note(self._kinds, (line.reason, line.field), f"line {line.line_number}{why}")

    def count(self, command: InputCommand, outputs: list[Output]) -> None:
        """Add a command and what it caused."""
        self.commands[command.name] += 1
        for output in outputs:
            self._count_output(output, command)
        if not outputs or outputs[0].kind not in _NO_EFFECT:
            self._note_time(command)

    def _count_output(self, output: Output, command: InputCommand) -> None:
        record = output.record
        if output.kind is Kind.BILLED:
            decision = record["decision"]
            self.decisions[decision] += 1
            if decision == Decision.CHARGED:
                self.charged[record["credit_type"]] += record["credits"]
            elif decision in _UNCHARGED:
                charge = f", charge {record['charge']}" if record["charge"] else ""
                where = f"line {command.line_number}, endpoint {record['endpoint']}{charge}"
                _note(self._uncharged, decision, where)
        elif output.kind is Kind.REFUND and record["status"] == RefundStatus.REFUNDED:
            self.refunded[record["credit_type"]] += record["credits"]
        elif output.kind is Kind.DEAD_LETTER:
            self.dead_letters[record["reason"]] += 1
            _note(self._kinds, (record["reason"], record["field"]), self._where(record["reason"], command))
        elif output.kind is Kind.REPEATED:
            self.repeated += 1
            self.other_content += record["same_content"] is False
        elif output.kind is Kind.HOLD:
            self.holds[record["status"]] += 1

    def _where(self, reason: str, command: InputCommand) -> str:
        account_id = command.record.get("account_id")
        where = f"line {command.line_number}"
        if isinstance(account_id, str):
            where += f", account {account_id}"
        newest = self._newest.get(account_id) if isinstance(account_id, str) else None
        at = command.record.get(TIME_FIELD[Command(command.name)])
        if reason == DeadLetterReason.TOO_LATE and newest is not None:
            self._is_ahead = self._is_ahead or newest.is_recorded_then
            return f"{where} ({_shown(at)}): too late since line {newest.line_number} ({_shown(newest.at)})"
        if reason == DeadLetterReason.IN_FUTURE:
            return f"{where} ({_shown(at)}), recorded at {_shown(command.recorded_at)}"
        return where

    def _note_time(self, command: InputCommand) -> None:
        at = command.record[TIME_FIELD[Command(command.name)]]
        account_id = command.record.get("account_id")
        if account_id is None:  # a price book is nobody's
            return
        newest = self._newest.get(account_id)
        if newest is None or at > newest.at:
            self._newest[account_id] = _Newest(command.line_number, at, command.recorded_at == at)

    def sentences(self) -> list[str]:
        """The summary for people, a line each."""
        lines = [_counted(self.commands) if self.commands else "no commands"]
        if self.repeated:
            lines.append(f"repeated, no effect: {self.repeated:,}")
        if self.other_content:
            lines.append(f"repeated with other content: {self.other_content:,}")
        if self.decisions:
            lines.append(f"lines by decision: {_counted(self.decisions)}")
        for decision, occurrences in self._uncharged.items():
            lines.append(f"  {decision} ({_UNCHARGED[Decision(decision)]}): first at {occurrences.where}")
        lines.extend(f"charged: {amount:,} {credit_type}" for credit_type, amount in sorted(self.charged.items()))
        lines.extend(f"refunded: {amount:,} {credit_type}" for credit_type, amount in sorted(self.refunded.items()))
        if self.holds:
            lines.append(f"holds: {_counted(self.holds)}")
        if self.dead_letters:
            lines.append(f"dead letters: {_counted(self.dead_letters)}")
            lines.extend(self._kinds_of_dead_letters())
        if self._is_ahead:
            lines.append(_AHEAD)
        if set(self.commands) == {"unreadable"}:
            lines.append(
                "for an access log: creditmeter emit --dry-run --account NAME FILE | creditmeter rate --prices BOOK"
            )
        if self.unfinished is not None:
            lines.append(f"line {self.unfinished} has no end yet and is no whole object: it was left out")
        return lines

    def _kinds_of_dead_letters(self) -> list[str]:
        lines = [
            f"  {occurrences.count:,} {reason}{f' ({name})' if name else ''}: first at {occurrences.where}"
            for (reason, name), occurrences in list(self._kinds.items())[:_KINDS_SHOWN]
        ]
        if len(self._kinds) > _KINDS_SHOWN:
            lines.append(f"  … and {len(self._kinds) - _KINDS_SHOWN:,} more kinds")
        return lines


def _note(occurrences: dict[_Key, _Occurrences], key: _Key, where: str) -> None:
    known = occurrences.get(key)
    if known is None:
        occurrences[key] = _Occurrences(1, where)
    else:
        known.count += 1


def _shown(at: object) -> str:
    return format_instant(at) if type(at) is int else str(at)


def _counted(counter: Counter[str]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counter.items()))
