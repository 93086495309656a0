"""The work of `emit`: sends the lines of a file, with progress, a speed limit and a report of bad lines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Protocol

from application.errors import Failed, Misconfigured
from application.input.account_pattern import AccountPattern, AccountPatternError
from application.input.file_events import (
    EventMapping,
    InputItem,
    Rejected,
    Unfinished,
    log_commands,
    ndjson_commands,
)
from application.input.file_rating import to_line
from application.input.json_shape import checked_shape
from application.input.lines import Source, UnreadableInputError, read_lines
from application.input.log_formats import ACCESS_LOG, AUTO, LOG_FORMATS, NDJSON, LogFormat, is_ndjson, with_pattern
from application.input.log_patterns import LogPattern
from cli.terminal.input import opened_input
from cli.terminal.output import data_output, print_status
from cli.terminal.progress import FileProgress, TerminalNotices, file_progress
from metering.records import Command
from streams import clock

if TYPE_CHECKING:
    from application.commands.bulk_sending import BulkDecisions, BulkSender
    from application.configuration.settings import Settings
    from application.input.ndjson import InputCommand

_REJECTS_SHOWN = 20
_UNKNOWN_FORMAT = (
    "The first lines are neither NDJSON nor a log in a known format: name it by --format, or its fields by "
    "--log-format (and give --account or --account-pattern, since a log does not say who pays)."
)


class Wanted(NamedTuple):
    """The options of the command; `log_format` is a pattern of fields."""

    file: str
    file_format: str
    log_format: str | None
    last_line_complete: bool
    account: str | None
    account_pattern: str | None
    endpoint: str | None
    channel: str
    rate_limit: float | None
    wait: float | None = None


class Sender(Protocol):
    """Where commands go: Kafka, or standard output in a dry run."""

    def send(self, command: InputCommand) -> None:
        """Take one command; it may wait until others have gone."""

    def finish(self) -> None:
        """Return when everything taken is where it should be."""


class Emission:
    """One run over one file. `sent` and `rejected` count lines; `stopped` is true after Ctrl-C.

    `refused` counts commands that were decided and not accepted, or differ from the first of their id.
    `unfinished` is the number of a last line that was held back because it has no end yet, None where there is none.
    """

    def __init__(self, wanted: Wanted, rejects: str | None) -> None:
        """Raises Misconfigured where the account pattern or the log format is not one."""
        self.sent = 0
        self.rejected = 0
        self.refused = 0
        self.unfinished: int | None = None
        self.stopped = False
        self._wanted = wanted
        self._rejects = rejects
        pattern = _account_pattern(wanted.account_pattern)
        self._mapping = EventMapping(wanted.account, pattern, wanted.channel, wanted.endpoint)
        self._log_format = _log_format(wanted)
        self._is_log = False
        self._without_address = 0
        self._bulk: BulkSender | None = None

    def run(self, settings: Settings | None) -> None:
        """Send everything to Kafka, or with no settings print it. Raises Failed."""
        with ExitStack() as stack:
            sender = self._sender(stack, settings)
            try:
                source = stack.enter_context(opened_input(self._wanted.file))
                rejects = stack.enter_context(_kept(self._rejects)) if self._rejects else None
                self._send_all(source, sender, rejects)
            except KeyboardInterrupt:
                self.stopped = True
            except UnreadableInputError as error:
                sender.finish()
                before = f" ({self._counts(dry_run=settings is None)} before it)" if self.sent else ""
                raise Failed(f"{self._wanted.file}: {error}{before}") from error
            sender.finish()
            self._report(dry_run=settings is None)
            if self._bulk is not None and self._wanted.wait is not None and not self.stopped:
                self._report_decisions(self._bulk.decisions(self._wanted.wait))

    def _sender(self, stack: ExitStack, settings: Settings | None) -> Sender:
        if settings is None:
            return _Printer(stack.enter_context(data_output()))
        from application.commands.bulk_sending import BulkSender
        from application.pipeline import opened

        pipeline = stack.enter_context(opened(settings, TerminalNotices()))
        self._bulk = stack.enter_context(BulkSender.opened(pipeline))
        return self._bulk

    def _send_all(self, source: Source, sender: Sender, rejects: BinaryIO | None) -> None:
        pace = _Pace(self._wanted.rate_limit)
        with file_progress(self._wanted.file, source) as report:
            for item in self._commands(source):
                if isinstance(item, Rejected):
                    self._reject(item, rejects, report)
                elif isinstance(item, Unfinished):
                    self.unfinished = item.line_number
                else:
                    sender.send(item)
                    self.sent += 1
                    self._without_address += self._is_log and item.record["ip"] is None
                report.advance(self.sent, self.rejected)
                pace.wait()

    def _commands(self, source: Source) -> Iterator[InputItem]:
        wanted = self._wanted
        lines = read_lines(source.stream)
        ndjson: bool | None = wanted.file_format == NDJSON
        if wanted.file_format == AUTO and wanted.log_format is None:
            ndjson, lines = is_ndjson(lines)
        if ndjson:
            return ndjson_commands(checked_shape(lines), last_line_complete=wanted.last_line_complete)
        if wanted.account is None and wanted.account_pattern is None:
            if ndjson is None:
                raise Misconfigured(_UNKNOWN_FORMAT)
            raise Misconfigured("An access log does not say who pays: give --account NAME or --account-pattern REGEX.")
        self._is_log = True
        return log_commands(lines, self._log_format, self._mapping, last_line_complete=wanted.last_line_complete)

    def _reject(self, line: Rejected, rejects: BinaryIO | None, report: FileProgress) -> None:
        self.rejected += 1
        if self.rejected <= _REJECTS_SHOWN:
            report.remark(f"{self._wanted.file}:{line.line_number}: {line.why}")
        if rejects is not None:
            rejects.write(line.content + b"\n")

    def _report(self, *, dry_run: bool) -> None:
        if self.rejected > _REJECTS_SHOWN:
            hint = "" if self._rejects else " (--rejects FILE keeps them)"
            print_status(f"… and {self.rejected - _REJECTS_SHOWN:,} more bad lines{hint}")
        if self.unfinished is not None:
            print_status(
                f"{self._wanted.file}: line {self.unfinished} has no end yet and was not sent "
                "(--last-line-complete sends it; send the file again when it is whole)"
            )
        print_status(f"{'Stopped. ' if self.stopped else ''}{self._counts(dry_run=dry_run)}")

    def _report_decisions(self, decisions: BulkDecisions) -> None:
        self.refused = decisions.set_aside + decisions.other_content
        other = f" ({decisions.other_content:,} of them others under a known id)" if decisions.other_content else ""
        repeated = f"{decisions.repeated:,} repeated{other}"
        print_status(f"{decisions.accepted:,} accepted, {repeated}, {decisions.set_aside:,} set aside")
        for reused in decisions.reused:
            first = "" if reused.first is None else f" at {reused.first}"
            print_status(
                f"  {reused.command} {reused.own_id} at {reused.place}: its id was accepted before{first} with other "
                "content; nothing changed"
            )
        if decisions.other_content > len(decisions.reused):
            print_status(f"  … and {decisions.other_content - len(decisions.reused):,} more")

    def _counts(self, *, dry_run: bool) -> str:
        word = "printed" if dry_run else "sent and acknowledged"
        lacking = f"; {self._without_address:,} lines have no address" if self._without_address else ""
        return f"{self.sent:,} {word}, {self.rejected:,} bad lines{lacking}"


def _kept(rejects: str) -> BinaryIO:
    try:
        return Path(rejects).open("wb")
    except OSError as error:
        raise Failed(f"--rejects: {error}") from error


class _Printer:
    """A dry run: each command as the line of NDJSON that `rate` reads."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out

    def send(self, command: InputCommand) -> None:
        kind = {} if command.name == Command.REQUEST else {"type": command.name}
        self._out.write(to_line(kind | command.record))

    def finish(self) -> None:
        self._out.flush()


class _Pace:
    """Holds back so that no more than `limit` calls a second return; no limit, no holding."""

    def __init__(self, limit: float | None) -> None:
        self._limit = limit
        self._began = clock.monotonic()
        self._calls = 0

    def wait(self) -> None:
        if self._limit is None:
            return
        self._calls += 1
        ahead = self._calls / self._limit - (clock.monotonic() - self._began)
        if ahead > 0:
            clock.sleep(ahead)


def _account_pattern(text: str | None) -> AccountPattern | None:
    if text is None:
        return None
    try:
        return AccountPattern(text)
    except AccountPatternError as error:
        raise Misconfigured(f"--account-pattern: {error}") from error


def _log_format(wanted: Wanted) -> LogFormat:
    """How lines are read if the file is a log."""
    if wanted.log_format is None:
        return LOG_FORMATS.get(wanted.file_format, LOG_FORMATS[ACCESS_LOG])
    try:
        return with_pattern(wanted.file_format, LogPattern(wanted.log_format).parse)
    except ValueError as error:
        raise Misconfigured(f"--log-format: {error}") from error
