"""Where a recorded command is until the meter has it: memory, spool, or reported to the caller. Never nowhere.

What happens to a command, in this order:

1. `put` checks it. A mistake: refused, `on_refused`.
2. Durable: a copy is written to the spool and synced before `put` returns.
3. It waits in memory; without room there, in the spool; without room there, it is lost and `on_lost` is called.
4. `step` sends a batch. Stored: its copy in the spool goes. Invalid: refused. Unknown: it waits again.
5. While the meter is away, what waits in memory without a copy moves to the spool.

A crash after 2 or in 4 sends a command again, with the id that it has had since 1: the log keeps it once.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Sequence

from creditmeter_client.checks import check
from creditmeter_client.clock import Clock
from creditmeter_client.errors import FieldMistake
from creditmeter_client.recording.backoff import Backoff
from creditmeter_client.recording.delivering import Sent, send_apart
from creditmeter_client.recording.memory_queue import Entry, MemoryQueue
from creditmeter_client.recording.spool import LoadedSegment, Spool, SpoolFull
from creditmeter_client.results import Counts, Delivery, DeliveryStatus, Failure, first_mistakes
from creditmeter_client.settings import FailureCallback, MeterSettings
from creditmeter_client.transport import EventTransport
from creditmeter_client.usage import Command, from_line, id_of, to_line

logger = logging.getLogger(__name__)

_ADOPT_EVERY = 60.0
_IDLE = 60.0


class Outbox:
    """All commands of one process that are not delivered yet. `put` from any thread; `step` from one at a time."""

    def __init__(self, transport: EventTransport, settings: MeterSettings, clock: Clock) -> None:
        """Raises SpoolUnusable."""
        self._transport = transport
        self._settings = settings
        self._clock = clock
        self._spool = None if settings.spool is None else Spool(settings.spool, max_bytes=settings.spool_bytes)
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._memory = MemoryQueue(self._settings.queue_events, self._settings.queue_bytes)
        self._loaded: deque[Entry] = deque()
        self._is_loading = False  # the spool has given lines away that are not in `_loaded` yet
        self._in_hand: list[Entry] = []
        self._asked: set[Entry] = set()
        self._backoff = Backoff(self._settings.backoff)
        self._next_adoption = 0.0
        self._key_works = False
        self._closed = False
        self._turn = 0
        self._counts: Counter[str] = Counter()
        self.failures: deque[Failure] = deque(maxlen=self._settings.failures_kept)

    # -- what callers do

    def put(self, command: Command) -> bool:
        """Takes over a command; whether it will be sent. Raises nothing. Blocks for the disk only, if durable."""
        entry = self._checked(command)
        return isinstance(entry, Entry) and self._place(entry)

    def begin_question(self, command: Command) -> Entry | tuple[FieldMistake, ...]:
        """Takes over a command that the caller sends itself, to wait for its decision.

        Follow with `answered` or `unanswered`. What is returned instead of an entry are its mistakes; none: it was
        taken over by `put`, since memory has no room to ask.
        """
        entry = self._checked(command)
        if not isinstance(entry, Entry):
            return entry
        with self._lock:
            room = not self._closed and self._memory.reserve(len(entry.line))
        if not room:
            self._keep_or_lose(entry, "the queue is full", sync=self._settings.durable)
            return ()
        self._copy(entry)
        with self._lock:
            self._asked.add(entry)
        return entry

    def answered(self, entry: Entry, answer: Delivery) -> None:
        """The question's answer says that the command is stored, or why it never will be."""
        if self._end_question(entry):
            self._settle(entry)
            if answer.status is DeliveryStatus.STORED:
                self._key_works = True
                self._count(delivered=1)
            else:
                self._refuse(entry.command, first_mistakes(answer.mistakes), answer)

    def unanswered(self, entry: Entry) -> None:
        """Nothing is known of the command: it is sent like any other."""
        if self._end_question(entry):
            with self._lock:
                self._memory.add(entry)

    def _end_question(self, entry: Entry) -> bool:
        with self._lock:
            ours = entry in self._asked
            self._asked.discard(entry)
            return ours

    def pending(self) -> int:
        """Commands of this process that are neither delivered nor given up: in memory and in its spool."""
        with self._lock:
            loaded = len(self._loaded) + self._is_loading + sum(entry.origin is not None for entry in self._in_hand)
            return len(self._memory) + loaded + (0 if self._spool is None else self._spool.waiting())

    def counts(self) -> Counts:
        """What has happened in this process so far."""
        with self._lock:
            return Counts(**self._counts)

    def count_unasked(self, *, let_in: bool) -> None:
        """A middleware could not ask the meter and let the request in, or turned it away."""
        self._count(**{"let_in_unasked" if let_in else "turned_away": 1})

    def count_undescribed(self) -> None:
        """A middleware's describing function raised."""
        self._count(undescribed=1)

    def after_fork(self) -> None:
        """In a child: what the parent has recorded, the parent delivers."""
        if self._spool is not None:
            self._spool.after_fork()
        self._transport.after_fork()
        self._begin()

    # -- what the sending thread does

    def ready(self) -> bool:
        """Whether a full batch waits, so that lingering gains nothing."""
        return self._memory.waiting >= self._settings.batch_events or bool(self._loaded)

    def step(self, *, hurry: bool = False) -> float:
        """Sends one batch, if it is time. Returns the seconds after which the next step may find something to do.

        `hurry` tries at once, whatever failed before.
        """
        now = self._clock.monotonic()
        self._adopt(now)
        pause = 0.0 if hurry else self._backoff.remaining(now)
        if pause:
            self._move_to_spool()
            return pause
        entries = self._next_batch()
        if not entries:
            return _IDLE if self._spool is None else min(_IDLE, max(0.0, self._next_adoption - now))
        self._deliver(entries)
        return self._backoff.remaining(self._clock.monotonic())

    def close(self) -> None:
        """Puts what is left into the spool; without one it is lost, and reported. Nothing is sent any more."""
        with self._lock:
            self._closed = True
            left = [entry for entry in self._in_hand if entry.origin is None]
            left += [*self._asked, *self._memory.take(self._memory.waiting)]
            self._asked.clear()
            self._loaded.clear()
        for entry in left:
            if entry.copy is None:
                self._keep_or_lose(entry, "the process ended before it was delivered")
        if self._spool is not None:
            self._spool.close()

    # -- placing

    def _checked(self, command: Command) -> Entry | tuple[FieldMistake, ...]:
        self._count(recorded=1)
        try:
            mistakes = check(command)
            if not mistakes:
                return Entry(command, to_line(command), self._clock.now_ms())
        except Exception as error:  # noqa: BLE001 -- whatever an application put into a field
            mistakes = (FieldMistake("", f"can't be sent: {error!r:.200}"),)
        self._refuse(command, first_mistakes(mistakes), Delivery(DeliveryStatus.INVALID, mistakes=mistakes))
        return mistakes

    def _place(self, entry: Entry) -> bool:
        size = len(entry.line)
        with self._lock:
            room = not self._closed and self._memory.reserve(size)
            if room and not self._settings.durable:
                self._memory.add(entry)
                return True
        if not room:
            return self._keep_or_lose(entry, "the queue is full", sync=self._settings.durable)
        self._copy(entry)
        with self._lock:
            if not self._closed:
                self._memory.add(entry)
                return True
            self._memory.free(size)
        return entry.copy is not None or self._keep_or_lose(entry, "the meter is closed")

    def _copy(self, entry: Entry) -> None:
        if self._settings.durable and self._spool is not None:
            try:
                entry.copy = self._spool.write_durable(entry.line, entry.recorded_at)
                self._count(spooled=1)
            except (OSError, SpoolFull) as error:
                logger.error("an event can't be written to the spool, so it is in memory only: %s", error)  # noqa: TRY400
                self._count(not_durable=1)

    def _keep_or_lose(self, entry: Entry, reason: str, *, sync: bool = False) -> bool:
        if self._spool is not None:
            try:
                self._spool.write_overflow(entry.line, entry.recorded_at, sync=sync)
            except (OSError, SpoolFull) as error:
                reason = f"{reason}, and the spool has no room: {error}"
            else:
                self._count(spooled=1)
                return True
        self._lose(entry.command, reason)
        return False

    def _move_to_spool(self) -> None:
        if self._spool is None:
            return
        with self._lock:
            entries = self._memory.take(self._memory.waiting)
        stay = []
        for entry in entries:
            if entry.copy is None and entry.origin is None:
                try:
                    self._spool.write_overflow(entry.line, entry.recorded_at, sync=False)
                except (OSError, SpoolFull):
                    stay.append(entry)
                    continue
                self._count(spooled=1)
                with self._lock:
                    self._memory.free(len(entry.line))
            else:
                stay.append(entry)
        with self._lock:
            self._memory.put_back(stay)

    # -- sending

    def _adopt(self, now: float) -> None:
        if self._spool is None or now < self._next_adoption:
            return
        self._next_adoption = now + _ADOPT_EVERY
        try:
            self._spool.adopt()
        except OSError as error:
            logger.error("the spool can't be looked through: %s", error)  # noqa: TRY400

    def _next_batch(self) -> list[Entry]:
        """From memory and from the spool in turns, so that neither waits for the other's end."""
        self._turn += 1
        with self._lock:
            from_memory = self._memory.waiting and (self._turn % 2 or not self._spool_has_lines())
            if from_memory:
                self._in_hand = self._memory.take(self._settings.batch_events)
                return self._in_hand
        if not self._loaded:
            self._load()
        with self._lock:
            most = min(self._settings.batch_events, len(self._loaded))
            self._in_hand = [self._loaded.popleft() for _ in range(most)]
            if not self._in_hand:
                self._in_hand = self._memory.take(self._settings.batch_events)
            return self._in_hand

    def _spool_has_lines(self) -> bool:
        return bool(self._loaded) or (self._spool is not None and self._spool.has_more())

    def _load(self) -> None:
        if self._spool is None or not self._spool.has_more():
            return
        with self._lock:
            self._is_loading = True
        entries: list[Entry] = []
        try:
            entries = self._read_segment(self._spool)
        finally:
            with self._lock:
                self._loaded.extend(entries)
                self._is_loading = False

    def _read_segment(self, spool: Spool) -> list[Entry]:
        try:
            segment = spool.load_oldest()
        except OSError as error:
            logger.error("the spool can't be read: %s", error)  # noqa: TRY400
            return []
        if segment is None:
            return []
        self._count(torn=segment.torn, taken_over=0 if segment.owner is None else len(segment.lines))
        oldest = self._clock.now_ms() - self._settings.spool_age_ms
        entries = []
        for line in segment.lines:
            try:
                command = from_line(line.line)
            except ValueError:
                logger.error("%s: a line is no command and can't be sent", segment.path)  # noqa: TRY400
                self._count(torn=1)
                segment.outstanding -= 1
                continue
            if line.written_at < oldest:
                segment.outstanding -= 1
                self._lose(command, f"it waited in the spool for more than {self._settings.spool_age_ms // 1000} s")
            else:
                entries.append(Entry(command, line.line, line.written_at, origin=segment))
        if not segment.outstanding:
            spool.finish(segment)
        return entries

    def _deliver(self, entries: Sequence[Entry]) -> None:
        sent = send_apart(self._transport, entries, key_works=self._key_works)
        again = []
        for entry, answer in sent.answers:
            if answer is None or answer.status is DeliveryStatus.UNKNOWN:
                again.append(entry)
            elif answer.status is DeliveryStatus.STORED:
                self._key_works = True
                self._settle(entry)
                self._count(delivered=1)
            else:
                self._settle(entry)
                self._refuse(entry.command, sent.reason_of(entry) or first_mistakes(answer.mistakes), answer)
        with self._lock:
            self._in_hand = []
            if not self._closed:
                self._loaded.extendleft(reversed([entry for entry in again if entry.origin is not None]))
                self._memory.put_back(entry for entry in again if entry.origin is None)
        self._after_delivery(sent, len(again))
        if again:
            self._move_to_spool()

    def _after_delivery(self, sent: Sent, again: int) -> None:
        if not again:
            if self._backoff.failing:
                logger.warning("the meter takes events again")
            self._backoff.succeeded()
            return
        pause = self._backoff.failed(self._clock.monotonic(), sent.retry_after)
        logger.warning("%d events are not delivered, trying again in %.1f s: %s", again, pause, sent.problem)

    def _settle(self, entry: Entry) -> None:
        if entry.origin is not None:
            self._settle_loaded(entry.origin)
            return
        if entry.copy is not None and self._spool is not None:
            self._spool.settle(entry.copy)
        with self._lock:
            self._memory.free(len(entry.line))

    def _settle_loaded(self, segment: LoadedSegment) -> None:
        segment.outstanding -= 1
        if not segment.outstanding and self._spool is not None:
            self._spool.finish(segment)

    # -- telling the caller

    def _refuse(self, command: Command, reason: str, answer: Delivery) -> None:
        self._count(refused=1)
        logger.error("event %s of %s is refused for ever: %s", id_of(command), command.account_id, reason)
        self._report(command, reason, answer, self._settings.on_refused)

    def _lose(self, command: Command, reason: str) -> None:
        self._count(lost=1)
        logger.error("event %s of %s is lost: %s", id_of(command), command.account_id, reason)
        self._report(command, reason, Delivery(DeliveryStatus.UNKNOWN), self._settings.on_lost)

    def _report(self, command: Command, reason: str, answer: Delivery, callback: FailureCallback | None) -> None:
        failure = Failure(id_of(command), command.account_id, command.fields, reason, answer.mistakes)
        self.failures.append(failure)
        if callback is not None:
            try:
                callback(failure)
            except Exception:
                logger.exception("the callback for a failed event raised")

    def _count(self, **more: int) -> None:
        with self._lock:
            for name, number in more.items():
                self._counts[name] += number
