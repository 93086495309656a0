"""Daemon threads that wait for answers, so that neither an event loop nor the end of the process waits for them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

Result = TypeVar("Result")


_Calls = queue.SimpleQueue[Callable[[], None] | None]


class Workers:
    """Runs calls on up to `most` threads, made as they are needed."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.reset()

    def reset(self) -> None:
        """Forgets all threads: at the beginning, and in a child after a fork."""
        self._calls: _Calls = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._idle = 0

    def submit(self, function: Callable[..., Result], *arguments: Any) -> Future[Result]:
        future: Future[Result] = Future()

        def call() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function(*arguments))
                except BaseException as error:  # noqa: BLE001 -- the caller gets it
                    future.set_exception(error)

        with self._lock:
            self._calls.put(call)
            more = self._calls.qsize() > self._idle and self._threads < self._most
            self._threads += more
        if more:
            threading.Thread(target=self._run, args=(self._calls,), name="creditmeter-ask", daemon=True).start()
        return future

    def close(self) -> None:
        """Ends the threads, each after the call that it has in hand."""
        with self._lock:
            for _ in range(self._threads):
                self._calls.put(None)
            self._threads = 0

    def _run(self, calls: _Calls) -> None:
        while True:
            with self._lock:
                self._idle += 1
            call = calls.get()
            with self._lock:
                self._idle -= 1
            if call is None:
                return
            call()
