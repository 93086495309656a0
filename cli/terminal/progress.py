"""Notices and progress bars on standard error; bars only where that is a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import TYPE_CHECKING

from cli.terminal.output import print_status
from sinks.printable import visible
from streams import clock

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from application.input.lines import Source
    from application.notices import ProgressCallback

_SECONDS_BETWEEN_UPDATES = 0.1
_CALLS_BETWEEN_LOOKS = 64


class FileProgress:
    """The progress through a file of commands; this one shows no bar."""

    def advance(self, sent: int, rejected: int) -> None:
        """Note the lines sent and rejected so far."""

    def remark(self, text: str) -> None:
        """Show a line, above the bar where there is one."""
        print_status(text)


class _FileBar(FileProgress):
    def __init__(self, progress: Progress, task: TaskID, source: Source) -> None:
        self._progress, self._task, self._source = progress, task, source
        self._began = self._shown = clock.monotonic()

    def advance(self, sent: int, rejected: int) -> None:
        if (sent + rejected) % _CALLS_BETWEEN_LOOKS:
            return
        now = clock.monotonic()
        if now - self._shown < _SECONDS_BETWEEN_UPDATES:
            return
        self._shown = now
        position = self._source.position() or 0
        speed = sent / (now - self._began)
        self._progress.update(self._task, completed=position, sent=sent, rejected=rejected, speed=speed)

    def remark(self, text: str) -> None:
        self._progress.console.print(visible(text), markup=False, highlight=False, soft_wrap=True)


@contextmanager
def file_progress(name: str, source: Source, done: str = "sent") -> Iterator[FileProgress]:
    """Shows how much of the file has been read, how many lines were `done` and how many bad, and how fast."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield FileProgress()
        return
    counts = TextColumn(
        "{task.fields[sent]:,} " + done + ", {task.fields[rejected]:,} bad, {task.fields[speed]:,.0f}/s"
    )
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), counts, TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        shown = "standard input" if name == "-" else PurePath(name).name
        task = progress.add_task(shown, total=source.size, sent=0, rejected=0, speed=0.0)
        yield _FileBar(progress, task, source)


class TerminalNotices:
    """Remarks as lines and progress as bars on standard error; a bar only where that is a terminal.

    `show_progress` False keeps bars away where results are printed as they come.
    """

    def __init__(self, *, show_progress: bool = True) -> None:
        self._show_progress = show_progress
        self._console: Console | None = None

    def remark(self, text: str) -> None:
        """Show a line, above the bar where there is one."""
        if self._console is None:
            print_status(text)
        else:
            self._console.print(visible(text), markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def progress(self, activity: str, total: int | None = None) -> Iterator[ProgressCallback]:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        is_shown = self._show_progress and console.is_terminal
        columns = (TextColumn(activity), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True, disable=not is_shown) as progress:
            task = progress.add_task("", total=total)

            def report(done: int, of: int | None = total) -> None:
                progress.update(task, completed=done, total=of)

            self._console = progress.console if is_shown else None
            try:
                yield report
            finally:
                self._console = None

    @contextmanager
    def waiting(self, reason: str) -> Iterator[Callable[[str], None]]:
        from rich.console import Console

        with Console(stderr=True).status(reason) as status:
            yield status.update
