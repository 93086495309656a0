"""A progress bar on standard error, where that is a terminal; nothing where it is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple

from cli.terminal.output import say
from streams import clock

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from application.input.lines import Source

_SECONDS_BETWEEN_UPDATES = 0.1
_CALLS_BETWEEN_LOOKS = 64


class Reporter:
    """Tells people how far it is; this one only passes on what is said."""

    def advance(self, sent: int, rejected: int) -> None:
        """Note the lines sent and rejected so far."""

    def say(self, text: str) -> None:
        """Show a line for people, above the bar where there is one."""
        say(text)


class _Bar(Reporter):
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

    def say(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def progress_bar(name: str, source: Source, done: str = "sent") -> Iterator[Reporter]:
    """Shows how much of the file has been read, how many lines were `done` and how many bad, and how fast."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield Reporter()
        return
    counts = TextColumn(
        "{task.fields[sent]:,} " + done + ", {task.fields[rejected]:,} bad, {task.fields[speed]:,.0f}/s"
    )
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), counts, TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        shown = "standard input" if name == "-" else PurePath(name).name
        task = progress.add_task(shown, total=source.size, sent=0, rejected=0, speed=0.0)
        yield _Bar(progress, task, source)


class CountingBar(NamedTuple):
    """To be told how many are done, and of how many, where that was not known before. `console`: for lines above it."""

    told: Callable[..., None]
    console: Console | None


@contextmanager
def waiting(text: str) -> Iterator[Callable[[str], None]]:
    """Shows on standard error, where that is a terminal, what is waited for; gives what changes the text."""
    from rich.console import Console

    with Console(stderr=True).status(text) as status:
        yield status.update


@contextmanager
def counting_bar(name: str, total: int | None = None, *, wanted: bool = True) -> Iterator[CountingBar]:
    """A bar on standard error, where that is a terminal; nothing where it is not, or is not `wanted`."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    is_shown = wanted and console.is_terminal
    columns = (TextColumn(name), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not is_shown) as progress:
        task = progress.add_task("", total=total)

        def told(done: int, of: int | None = total) -> None:
            progress.update(task, completed=done, total=of)

        yield CountingBar(told, progress.console if is_shown else None)
