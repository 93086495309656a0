"""Changing the topic of access, so that no change is lost and none is decided on an old state (SERVER 3).

1. `begin`: every other writer is fenced. 2. Read to the end. 3. Decide. 4. Commit. 5. Read until it shows, so that it
holds for its own caller at once and the next change is decided on it. Where it is interrupted at 1 to 4, it begins
again at 1; a commit whose end is not known is found at 2 by its change_id, and is then done.
"""

from __future__ import annotations

import logging
import random
import threading
from typing import TYPE_CHECKING

from streams import clock
from streams.log.access_writer import KeyedRecord, WriteInterrupted
from streams.log.protocols import LogError, LogUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from schemas.codec import Codec
    from streams.access.records import AccessRecord, ChangeRecord, Thing
    from streams.access.state import AccessState
    from streams.access.view import AccessView
    from streams.log.access_writer import AccessWriter

PATIENCE = 30.0
"""Seconds for which a change is tried again while others write."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0
FORGET_MS = 24 * 3_600_000
"""For so long after its end a link is kept, ms."""
_FORGET_AT_ONCE = 100
logger = logging.getLogger(__name__)


class UndoesAnEnd(ValueError):
    """A change would bring back what was ended, or write an old revision: a mistake of the program."""


class AccessChanges:
    """Changes what `view` sees. Safe to call from any thread; changes of one process wait for each other."""

    def __init__(self, view: AccessView, writer: AccessWriter, codec: Codec) -> None:
        self._view = view
        self._writer = writer
        self._codec = codec
        self._turn = threading.Lock()

    def change(
        self, record: ChangeRecord, decide: Callable[[AccessState], Sequence[Thing]], patience: float = PATIENCE
    ) -> None:
        """Write what `decide` makes of the newest state, and the change's own record, both or neither.

        `decide` may be called several times and has no other effect; what it raises ends the change, and nothing was
        written. Raises LogUnavailable after `patience` seconds: nobody knows then whether the change is there;
        UndoesAnEnd; LogError.
        """
        deadline = clock.monotonic() + patience
        pause = _FIRST_PAUSE
        with self._turn:
            while True:
                try:
                    self._try(record, decide)
                except (WriteInterrupted, LogUnavailable) as error:
                    if clock.monotonic() + pause >= deadline:
                        raise LogUnavailable(
                            f"the change {record.change_id} ({record.action}) may or may not be made: {error}; "
                            "see whether it is there, then try again"
                        ) from error
                    logger.info("a change of access begins again: %s", error)
                else:
                    return
                clock.sleep(pause * (0.5 + random.random()))  # noqa: S311 -- so that two writers do not meet again
                pause = min(2 * pause, _LONGEST_PAUSE)

    def note(self, records: Sequence[AccessRecord]) -> None:
        """Write records that undo nothing: uses of keys, changes of other things. Raises DeliveryFailed, LogError."""
        with self._turn:
            self._writer.append([self._keyed(record) for record in records])

    def close(self) -> None:
        """End the writer."""
        with self._turn:
            self._writer.close()

    def _try(self, record: ChangeRecord, decide: Callable[[AccessState], Sequence[Thing]]) -> None:
        state = self._view.state
        self._writer.begin()
        self._view.read_to_end()
        if state.has_change(record.change_id):
            return
        things = decide(state)
        for thing in things:
            _check(state, thing)
        old = state.expired_links(clock.now_ms() - FORGET_MS)[:_FORGET_AT_ONCE]
        gone = [KeyedRecord(link.record_key.encode(), None) for link in old]
        offset = self._writer.commit([*map(self._keyed, things), self._keyed(record), *gone])
        state.forget(old)
        try:
            self._view.read_past(offset)
        except LogError as error:  # it is made all the same
            logger.warning("the change %s is made, and does not show here yet: %s", record.change_id, error)
            self._writer.release()

    def _keyed(self, record: AccessRecord) -> KeyedRecord:
        return KeyedRecord(record.record_key.encode(), self._codec.encode(record.schema, record.fields()))


def _check(state: AccessState, thing: Thing) -> None:
    """Every revision is the next one, and what has ended stays so. Raises UndoesAnEnd."""
    known = state.newest(thing)
    expected = 1 if known is None else known.revision + 1
    if thing.revision != expected:
        raise UndoesAnEnd(f"{thing.record_key}: revision {thing.revision} where {expected} is the next")
    if known is not None and known.ended_at is not None and thing.ended_at is None and thing.schema != "Member":
        raise UndoesAnEnd(f"{thing.record_key}: it was ended, and stays so")
