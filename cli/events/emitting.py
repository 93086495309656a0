"""The work of `emit`: from the lines of a file to a sender, with progress, a speed limit and a report of bad lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Protocol

from application.errors import Failed, Misconfigured
from application.input.file_events import Mapping, Rejected, is_ndjson, log_commands, ndjson_commands
from application.input.file_rating import to_line
from application.input.lines import Source, UnreadableInputError, open_source, read_lines
from cli.terminal.output import data_output, print_status
from cli.terminal.progress import FileProgress, file_progress
from metering.records import Command
from streams import clock

if TYPE_CHECKING:
    from application.configuration.settings import Settings
    from application.input.ndjson import InputCommand

_REJECTS_SHOWN = 20
_LONGEST_LOG_LINE = 1 << 20


class Wanted(NamedTuple):
    """What the person asked for."""

    file: str
    file_format: str
    account: str | None
    account_pattern: str | None
    endpoint: str | None
    channel: str
    rate_limit: float | None


class Sender(Protocol):
    """Where commands go: Kafka, or standard output in a dry run."""

    def send(self, command: InputCommand) -> None:
        """Take one command; it may wait until others have gone."""

    def finish(self) -> None:
        """Return when everything taken is where it should be."""


class Emission:
    """One run over one file. `sent` and `rejected` count lines; `stopped` is true after Ctrl-C."""

    def __init__(self, wanted: Wanted, rejects: str | None) -> None:
        """Raises Misconfigured where the account pattern is not one."""
        self.sent = 0
        self.rejected = 0
        self.stopped = False
        self._wanted = wanted
        self._rejects = rejects
        self._mapping = Mapping(wanted.account, _pattern(wanted.account_pattern), wanted.channel, wanted.endpoint)

    def run(self, settings: Settings | None) -> None:
        """Send everything to Kafka, or with no settings print it. Raises Failed."""
        with ExitStack() as stack:
            sender = self._sender(stack, settings)
            try:
                source = stack.enter_context(open_source(self._wanted.file))
                rejects = stack.enter_context(_kept(self._rejects)) if self._rejects else None
                self._send_all(source, sender, rejects)
            except KeyboardInterrupt:
                self.stopped = True
            except UnreadableInputError as error:
                raise Failed(f"{self._wanted.file}: {error}") from error
            sender.finish()
        self._report(dry_run=settings is None)

    def _sender(self, stack: ExitStack, settings: Settings | None) -> Sender:
        if settings is None:
            return _Printer(stack.enter_context(data_output()))
        from application.commands.bulk_sending import KafkaSender
        from application.pipeline import opened

        pipeline = stack.enter_context(opened(settings))
        return stack.enter_context(KafkaSender.opened(pipeline))

    def _send_all(self, source: Source, sender: Sender, rejects: BinaryIO | None) -> None:
        pace = _Pace(self._wanted.rate_limit)
        with file_progress(self._wanted.file, source) as report:
            for item in self._commands(source):
                if isinstance(item, Rejected):
                    self._reject(item, rejects, report)
                else:
                    sender.send(item)
                    self.sent += 1
                report.advance(self.sent, self.rejected)
                pace.wait()

    def _commands(self, source: Source) -> Iterator[InputCommand | Rejected]:
        wanted = self._wanted
        if wanted.file_format == "auto":
            ndjson, lines = is_ndjson(read_lines(source.stream))
        else:
            ndjson = wanted.file_format == "ndjson"
            lines = read_lines(source.stream) if ndjson else read_lines(source.stream, _LONGEST_LOG_LINE)
        if ndjson:
            return ndjson_commands(lines)
        if wanted.account is None and wanted.account_pattern is None:
            raise Misconfigured("An access log does not say who pays: give --account NAME or --account-pattern REGEX.")
        return log_commands(lines, self._mapping)

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
        word = "printed" if dry_run else "sent and acknowledged"
        print_status(f"{'Stopped. ' if self.stopped else ''}{self.sent:,} {word}, {self.rejected:,} bad lines")


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


def _pattern(text: str | None) -> re.Pattern[str] | None:
    if text is None:
        return None
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise Misconfigured(f"--account-pattern: is not a regular expression: {error}") from error
    if "account" not in pattern.groupindex:
        raise Misconfigured("--account-pattern: needs a group named account, like '^/t/(?P<account>[^/]+)/'")
    return pattern
