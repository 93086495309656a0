"""The background thread that empties an outbox. It begins with the first record of a process."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from creditmeter_client.clock import Clock
from creditmeter_client.recording.outbox import Outbox

logger = logging.getLogger(__name__)

_SLICE = 0.1
"""Seconds between two looks at what came in while the meter is away."""
_LOOK = 0.02
"""Seconds between two looks of somebody who waits for deliveries."""


class SenderThread:
    """Steps an outbox whenever there is something to do. `on_tick` is called at every turn, at least every second."""

    def __init__(self, outbox: Outbox, linger: float, clock: Clock, on_tick: Callable[[], None]) -> None:
        self._outbox = outbox
        self._linger = linger
        self._clock = clock
        self._on_tick = on_tick
        self.reset()

    def reset(self) -> None:
        """Forgets the thread: at the beginning, and in a child after a fork."""
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._something = threading.Event()
        self._now = threading.Event()
        self._stopping = False
        self._hurry = False

    def notify(self) -> None:
        """Something was recorded."""
        if self._thread is None:
            self._start()
        if not self._something.is_set():
            self._something.set()
        if self._outbox.ready():
            self._now.set()

    def wait_until_empty(self, timeout: float, *, hurry: bool = False) -> bool:
        """Whether everything was delivered, refused or reported within `timeout` seconds."""
        deadline = self._clock.monotonic() + timeout
        self._hurry = self._hurry or hurry
        while self._outbox.pending():
            if self._thread is None:
                self._start()
            self._something.set()
            self._now.set()
            if self._clock.monotonic() >= deadline:
                return False
            threading.Event().wait(_LOOK)
        return True

    def stop(self, timeout: float) -> None:
        """Ends the thread, or leaves it behind after `timeout` seconds, where the transport does not return."""
        self._stopping = True
        self._something.set()
        self._now.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def _start(self) -> None:
        with self._starting:
            if self._thread is None and not self._stopping:
                self._thread = threading.Thread(target=self._run, name="creditmeter-sender", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        pause = 0.0
        while not self._stopping:
            if pause:
                self._something.wait(min(pause, 1.0))
                if self._something.is_set():
                    self._something.clear()
                    self._now.wait(self._linger)
            self._now.clear()
            try:
                self._on_tick()
                pause = self._outbox.step(hurry=self._hurry)
            except Exception:
                logger.exception("sending events failed in a way that nobody foresaw; trying again")
                pause = 1.0
            if 0 < pause < _SLICE or self._outbox.pending():
                if pause:
                    self._now.wait(_SLICE)  # the meter is away: what comes in meanwhile moves to the spool
                pause = 0.0
