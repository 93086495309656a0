"""Notices that keep what they were given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from application.notices import ProgressCallback


class RecordedNotices:
    """`remarks` in order; `activities`: what progress or waiting was about."""

    def __init__(self) -> None:
        self.remarks: list[str] = []
        self.activities: list[str] = []

    def clear(self) -> None:
        self.remarks.clear()
        self.activities.clear()

    def remark(self, text: str) -> None:
        self.remarks.append(text)

    @contextmanager
    def progress(self, activity: str, total: int | None = None) -> Iterator[ProgressCallback]:
        self.activities.append(activity)
        yield lambda *_: None

    @contextmanager
    def waiting(self, reason: str) -> Iterator[Callable[[str], None]]:
        self.activities.append(reason)
        yield self.activities.append
