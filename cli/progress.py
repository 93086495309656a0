"""A progress bar on standard error, where that is a terminal; nothing where it is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from streams import clock

if TYPE_CHECKING:
    from cli.lines import Source

_SECONDS_BETWEEN_UPDATES = 0.1
_CALLS_BETWEEN_LOOKS = 64


@contextmanager
def progress_bar(name: str, source: Source) -> Iterator[Callable[[int, int], None]]:
    """Shows how much of the file has been read; the body calls what it gets with (lines sent, lines rejected)."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _sent, _rejected: None
        return
    counts = TextColumn("{task.fields[sent]:,} sent, {task.fields[rejected]:,} bad, {task.fields[speed]:,.0f}/s")
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), counts, TimeRemainingColumn())
    began = shown = clock.monotonic()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(name, total=source.size, sent=0, rejected=0, speed=0.0)

        def advance(sent: int, rejected: int) -> None:
            nonlocal shown
            if (sent + rejected) % _CALLS_BETWEEN_LOOKS or (
                now := clock.monotonic()
            ) - shown < _SECONDS_BETWEEN_UPDATES:
                return
            shown = now
            position = source.position()
            speed = sent / (now - began)
            progress.update(task, completed=position or 0, sent=sent, rejected=rejected, speed=speed)

        yield advance
