"""Progress and remarks of a use case: reported through one argument, never printed.

The terminal shows a bar and lines on standard error; a server shows nothing or writes to its log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

ProgressCallback = Callable[..., None]
"""Called with how many are done and, where it was not known before, of how many: `report(done)`, `report(done, of)`."""


class Notices(Protocol):
    """Where remarks and progress of a use case go."""

    def remark(self, text: str) -> None:
        """Show a sentence that is no result: what was left out, what is used instead."""
        ...

    def progress(self, activity: str, total: int | None = None) -> AbstractContextManager[ProgressCallback]:
        """Report countable work for the time of the block; `total` None: not known yet."""
        ...

    def waiting(self, reason: str) -> AbstractContextManager[Callable[[str], None]]:
        """Report that something is waited for; the block is given what replaces the reason."""
        ...


class Silent:
    """Notices that go nowhere."""

    def remark(self, text: str) -> None:
        """Drop the remark."""

    @contextmanager
    def progress(self, activity: str, total: int | None = None) -> Iterator[ProgressCallback]:  # noqa: ARG002 -- the protocol's
        yield lambda *_: None

    @contextmanager
    def waiting(self, reason: str) -> Iterator[Callable[[str], None]]:  # noqa: ARG002 -- the protocol's
        yield lambda _reason: None
