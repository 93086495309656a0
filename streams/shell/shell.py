"""The Faust shell: groups of waiting messages from Kafka, one handler call for each group, acknowledgement behind it.

Faust handles group membership, fetching and commits. Its other features can lose charges, so here it decodes nothing,
acknowledges nothing by itself, keeps no table and sends nothing.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import faust
from faust.types import EventT
from mode import CrashingSupervisor

from streams import garbage_collection, threads
from streams.log.protocols import CatchUpInterrupted
from streams.shell.credentials import faust_credentials
from streams.shell.gathering import GatheringPolicy, gather
from streams.shell.handler import GroupHandler, Progress, groups_of
from streams.shell.transport import SEEK_PATIENCE, CarriedThrough, Hooks, exact_transport
from streams.shell.waiting_queue import WaitingQueue, event_bytes

logger = logging.getLogger(__name__)


class _NoTrace(logging.Filter):
    """Faust logs a crash with its trace here; `Shell.run` raises what ended the process, so that it is shown once."""

    def filter(self, record: logging.LogRecord) -> bool:
        if "Crashed reason=" in str(record.msg):
            record.exc_info = None
        return True


logger.addFilter(_NoTrace())

PATIENCE = 20.0
"""Seconds that a stop waits for the group in flight before the handler is asked to abandon it."""

LONGEST_STOP = 28.0
"""Seconds after which a stop that still waits for Kafka ends the process as a crash would, which loses nothing."""

POLL_MESSAGES = 256
"""Messages taken at a time from what is fetched: the most by which one partition may pass its share."""


@dataclass(frozen=True, slots=True)
class ShellSettings:
    """How a shell reads Kafka. Times in seconds. ``security`` are librdkafka's names, as everywhere.

    ``group_wait``: how long a group's first message waits for others, unless enough of them are there. 0 takes what is
    there: while one group is worked on the next one gathers, so groups grow with the load by themselves.
    ``fetch_wait``: how long Kafka gathers what comes before it answers, at most and under load (see `FetchPace`): fewer
    answers cost broker and shell less. 0: it always answers at once with whatever there is.
    ``busy_wait``: how long what waits goes on waiting for a whole group where there is load (see `GatheringPolicy`).
    ``group_bytes``: a group takes no further message once it has so many, counted with those that the handler has not
    begun. While twice as much waits of a partition, no more of it is taken from what is fetched.
    ``waiting_messages`` and ``waiting_bytes``: what may wait of all partitions together, two groups at least. Where
    that is more than the shares of some partitions, none of these keeps the others' messages from coming.
    """

    bootstrap: str
    group: str
    topics: tuple[str, ...]
    scratch: Path
    group_messages: int = 128
    group_bytes: int = 64 * 1024 * 1024
    waiting_messages: int = 256
    waiting_bytes: int = 0
    group_wait: float = 0.0
    busy_wait: float = 0.0
    fetch_wait: float = 0.0
    fetch_bytes: int = 4 * 1024 * 1024
    session_timeout: float = 15.0
    security: Mapping[str, str] = field(default_factory=dict)


class _StoppableApp(faust.App):
    """Signals the beginning of a stop before anything is waited for, and bounds the waiting queue."""

    begin_stop: Callable[[], None]
    waiting_bounds: tuple[int, int]

    async def stop(self) -> None:
        self.begin_stop()
        await super().stop()

    def FlowControlQueue(self, maxsize: int | None = None, *, clear_on_resume: bool = False) -> WaitingQueue:  # noqa: N802 - Faust's name
        return WaitingQueue(
            *self.waiting_bounds, maxsize=maxsize, flow_control=self.flow_control, clear_on_resume=clear_on_resume
        )


class Shell:
    """One Faust application around one `GroupHandler`.

    ``leaving`` is set as soon as partitions are to go, before the group in flight is waited for, and until partitions
    are assigned again; and for good when a stop begins.
    """

    def __init__(self, settings: ShellSettings, handler: GroupHandler, leaving: threading.Event | None = None) -> None:
        self._settings = settings
        self._policy = GatheringPolicy(
            settings.group_messages, settings.group_bytes, settings.group_wait, settings.busy_wait
        )
        self._handler = handler
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="groups")
        self._turn = asyncio.Lock()
        self._done = CarriedThrough()
        self._in_hand: dict[tuple[str, int], deque[EventT[bytes]]] = {}
        self._leaving = leaving or threading.Event()
        self._stopping = False
        self._assigned: set[tuple[str, int]] = set()
        self._taken_on: set[tuple[str, int]] = set()
        self._on_ready: Callable[[], None] = lambda: None
        self._starts: dict[tuple[str, int], int | None] = {}
        self._taking_on: set[asyncio.Task[None]] = set()
        self._timers: list[threading.Timer] = []
        self.app = self._make_app()

    def run(self, on_ready: Callable[[], None] | None = None) -> NoReturn:
        """Runs until SIGTERM or SIGINT (exit code 0) or until anything fails (the exception comes out here).

        Exit code 1 where Kafka does not let it stop in order. ``on_ready`` is called whenever the handler has taken on
        all partitions that are assigned, and said where they begin.
        """
        self._on_ready = on_ready or self._on_ready
        worker = self.app.Worker(loglevel="WARNING", quiet=True, redirect_stdouts=False, override_logging=False)
        worker.spinner = None  # it would write to stdout, which belongs to data
        garbage_collection.collect_rarely()
        threads.switch_often()
        try:
            worker.execute_from_commandline()
        except SystemExit:
            if worker.crash_reason is not None:
                raise worker.crash_reason from None
            raise
        finally:
            self._thread.submit(self._handler.close).result()
            self._thread.shutdown()
            for timer in self._timers:
                timer.cancel()
        sys.exit(0)

    def _make_app(self) -> faust.App:
        settings = self._settings
        settings.scratch.mkdir(parents=True, exist_ok=True)
        app = _StoppableApp(
            settings.group,
            env={},  # Faust would take its settings from the environment first, whatever is given here
            broker=[f"aiokafka://{address}" for address in settings.bootstrap.split(",")],
            datadir=str(settings.scratch),
            store="memory://",
            key_serializer="raw",
            value_serializer="raw",
            processing_guarantee="at_least_once",
            consumer_auto_offset_reset="earliest",
            broker_commit_interval=1.0,
            broker_session_timeout=settings.session_timeout,
            broker_heartbeat_interval=settings.session_timeout / 5,
            broker_max_poll_interval=3_600.0,
            broker_request_timeout=SEEK_PATIENCE,
            consumer_max_fetch_size=settings.fetch_bytes,
            stream_wait_empty=True,
            stream_buffer_maxsize=max(settings.waiting_messages, 2 * settings.group_messages),
            broker_max_poll_records=POLL_MESSAGES,
            topic_disable_leader=True,
            topic_allow_declare=False,
            web_enabled=False,
            **faust_credentials(settings.security),
        )
        app.begin_stop = self._begin_stop
        app.waiting_bounds = max(settings.waiting_bytes, 2 * settings.group_bytes), 2 * settings.group_bytes
        hooks = Hooks(self._leaving.set, self._forget_starts)
        app.transport = exact_transport(app, self._done, hooks, self._begins, settings.fetch_wait)
        topic = app.topic(*settings.topics, value_type=bytes, value_serializer="raw", key_serializer="raw")
        app.agent(topic, name="groups", concurrency=1, supervisor_strategy=CrashingSupervisor)(self._consume)
        app.on_partitions_assigned.connect(self._on_assigned, weak=False)
        app.on_partitions_revoked.connect(self._on_revoked, weak=False)
        return app

    async def _consume(self, stream: Any) -> None:
        """Hands over whatever is waiting, and acknowledges, in order, what the handler has carried through.

        Only the first message comes through the stream. The others are taken from its queue without an await in
        between, also while the handler has some in work: a rebalance or a stop clears that queue, and an agent that
        then waited for one more message with some in its hand would be waited for, for ever.
        """
        async for first in stream.noack().events():
            await gather(stream.channel.queue, self._policy, is_fresh=True)
            group = [first, *self._waiting(stream.channel.queue, Progress({}, 1, event_bytes(first)))]
            del first  # Faust waits for messages that are alive and not acknowledged
            while group or self._in_hand:
                async with self._turn:
                    progress = await self._processed(group)
                if self._policy.busy_wait and not self._in_hand:
                    await gather(stream.channel.queue, self._policy, is_fresh=False)
                group = list(self._waiting(stream.channel.queue, progress))

    async def _processed(self, group: list[EventT[bytes]]) -> Progress:
        """Hands the group over; acknowledges what is carried through then."""
        for event in group:
            message = event.message
            self._in_hand.setdefault((message.topic, message.partition), deque()).append(event)
        loop = asyncio.get_running_loop()
        try:
            progress = await loop.run_in_executor(self._thread, self._handler.process, groups_of(group))
        except CatchUpInterrupted as interrupted:
            logger.info("%s", interrupted)
            self._let_go(list(self._in_hand))
            return Progress({})
        if progress is None:
            progress = Progress({place: events[-1].message.offset + 1 for place, events in self._in_hand.items()})
        for place, stop in progress.carried.items():
            self._acknowledge(place, stop)
        return progress

    def _acknowledge(self, place: tuple[str, int], stop: int) -> None:
        """Acknowledges what is in hand of the partition before the offset ``stop``."""
        events = self._in_hand.get(place)
        while events and events[0].message.offset < stop:
            event = events.popleft()
            self._done.note(*place, event.message.offset)
            event.ack()  # for Faust, which waits for it; what is committed is what was noted
        if not events:
            self._in_hand.pop(place, None)

    def _let_go(self, places: Iterable[tuple[str, int]]) -> None:
        """What is in hand of these partitions is not carried through: it is delivered again, here or elsewhere."""
        for place in places:
            for event in self._in_hand.pop(place, ()):
                event.ack()

    def _waiting(self, queue: WaitingQueue, progress: Progress) -> Iterator[EventT[bytes]]:
        """This generation's waiting events that fill up what the handler has; they are begun, as the stream does it."""
        app, settings = self.app, self._settings
        most, size = settings.group_messages - progress.messages, progress.size
        while most > 0 and size < settings.group_bytes and app.flow_control.is_active():
            if not queue.has_next(progress.blocked):
                return
            event = queue.get_nowait()
            message = event.message
            if message.generation_id != app.consumer_generation_id:
                continue  # of before a rebalance: it is fetched again, by whoever has the partition now
            if not message.tracked:
                message.tracked = True
                app.consumer.track_message(message)
            most -= 1
            size += event_bytes(event)
            yield event

    def _begin_stop(self) -> None:
        self._stopping = True
        self._leaving.set()
        for seconds, action in ((PATIENCE, self._handler.abandon), (LONGEST_STOP, self._end_without_kafka)):
            timer = threading.Timer(seconds, action)
            timer.daemon = True
            timer.start()
            self._timers.append(timer)

    def _end_without_kafka(self) -> None:
        logger.error(
            "Kafka has not answered for %.0f s of the stop: ending without it. What is not acknowledged comes again.",
            LONGEST_STOP,
        )
        logging.shutdown()
        os._exit(1)

    async def _on_assigned(self, _app: Any, /, *given: Any, **_: Any) -> None:
        now = {(tp.topic, tp.partition) for tp in given[0]}
        await self._release(self._assigned - now)
        new = sorted(now - self._assigned)
        self._assigned = now
        if new:
            task = asyncio.create_task(self._assign(new))
            self._taking_on.add(task)
            task.add_done_callback(self._taking_on.discard)
        if not self._stopping:
            self._leaving.clear()
        logger.info("partitions assigned: %s", sorted(partition for _, partition in now))
        self._look_whether_ready()

    async def _assign(self, places: Sequence[tuple[str, int]]) -> None:
        """Lets the handler take partitions on, between two groups; Kafka does not wait for it."""
        try:
            async with self._turn:
                own = [place for place in places if place in self._assigned]
                await asyncio.get_running_loop().run_in_executor(self._thread, self._handler.assign, own)
                self._taken_on |= set(own)
            self._look_whether_ready()
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends the process, as in a group
            await self.app.crash(error)

    async def _begins(self, places: Sequence[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """Where to begin; asks the handler once after each assignment."""
        new = [place for place in places if place not in self._starts]
        if new:
            try:
                async with self._turn:
                    loop = asyncio.get_running_loop()
                    starts = await loop.run_in_executor(self._thread, self._handler.starts, new)
            except Exception as error:  # noqa: BLE001 - whatever it is, it ends the process, as in a group
                await self.app.crash(error)
                await asyncio.Event().wait()  # nothing is read any more
            self._starts |= {place: starts.get(place) for place in new}
            self._look_whether_ready()
        return {place: start for place in places if (start := self._starts.get(place)) is not None}

    def _forget_starts(self, places: Collection[tuple[str, int]]) -> None:
        for place in places:
            self._starts.pop(place, None)

    def _look_whether_ready(self) -> None:
        if self._assigned <= self._taken_on and self._assigned <= self._starts.keys():
            self._on_ready()

    async def _on_revoked(self, _app: Any, /, *given: Any, **_: Any) -> None:
        await self._release({(tp.topic, tp.partition) for tp in given[0]})

    async def _release(self, partitions: set[tuple[str, int]]) -> None:
        """Waits for the group in flight, then lets the handler close these partitions."""
        async with self._turn:
            self._assigned -= partitions
            self._taken_on -= partitions
            self._forget_starts(partitions)
            self._let_go(partitions)
            if partitions:
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(self._thread, self._handler.release, sorted(partitions))
