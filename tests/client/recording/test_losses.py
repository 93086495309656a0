"""Whatever happens in whatever order, each event is at the receiver once, or its loss was reported.

Hypothesis makes schedules of records, steps, failures of the meter, kills, forks, ends and jumps of the clock. The
transport keeps an event once, as the log does. `CREDITMETER_TEST_SCHEDULES` says how many schedules.
"""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from creditmeter_client.errors import MeterUnavailable
from creditmeter_client.recording.memory_queue import Entry
from creditmeter_client.recording.outbox import Outbox
from creditmeter_client.results import Delivery, DeliveryStatus, Failure
from creditmeter_client.settings import MeterSettings
from creditmeter_client.usage import Command
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.client.scripted import HandClock, ScriptedTransport, event

DAY = 86_400.0
SCHEDULES = int(os.environ.get("CREDITMETER_TEST_SCHEDULES", "60"))


class Schedules(RuleBasedStateMachine):
    """Processes of one application, one after another, with one spool between them."""

    @initialize(
        durable=st.booleans(),
        with_spool=st.booleans(),
        queue=st.integers(1, 6),
        spool_bytes=st.sampled_from([400, 10**6]),
    )
    def begin(self, durable: bool, with_spool: bool, queue: int, spool_bytes: int) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.clock = HandClock()
        self.transport = ScriptedTransport()
        self.reported: set[str] = set()
        self.recorded: list[str] = []
        self.may_be_gone: set[str] = set()  # what was in memory only when its process was killed
        self.in_memory_only: set[str] = set()
        spool = Path(self.folder.name) / "spool" if with_spool or durable else None
        self.settings = MeterSettings(
            queue_events=queue, batch_events=2, spool=spool, spool_bytes=spool_bytes, durable=durable,
            on_refused=self.report, on_lost=self.report,
        )  # fmt: skip
        self.outbox = self.new_process()
        self.asked: list[Entry] = []

    def report(self, failure: Failure) -> None:
        self.reported.add(failure.command_id)

    def new_process(self) -> Outbox:
        return Outbox(self.transport, self.settings, self.clock)

    @rule(count=st.integers(1, 4))
    def record(self, count: int) -> None:
        for _ in range(count):
            event_id = f"e{len(self.recorded)}"
            self.recorded.append(event_id)
            self.outbox.put(event(event_id))

    @rule()
    def record_a_wrong_one(self) -> None:
        event_id = f"e{len(self.recorded)}"
        self.recorded.append(event_id)
        self.outbox.put(event(event_id, quantities={"results": -1}))
        assert event_id in self.reported

    @rule()
    def ask(self) -> None:
        event_id = f"e{len(self.recorded)}"
        self.recorded.append(event_id)
        entry = self.outbox.begin_question(event(event_id))
        if isinstance(entry, Entry):
            self.asked.append(entry)

    @rule(answered=st.booleans())
    def answer(self, answered: bool) -> None:
        if self.asked:
            entry = self.asked.pop()
            if answered:
                self.transport.store([entry.command])
                self.outbox.answered(entry, Delivery(DeliveryStatus.STORED))
            else:
                self.outbox.unanswered(entry)

    @rule(seconds=st.sampled_from([0.0, 1.0, 100.0]))
    def step(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.outbox.step()

    @rule(stores=st.booleans(), count=st.integers(1, 3))
    def the_meter_goes_away(self, stores: bool, count: int) -> None:
        def away(commands: Sequence[Command]) -> list[Delivery]:
            if stores:
                self.transport.store(commands)
            raise MeterUnavailable("away")

        self.transport.script += [away] * count

    @rule()
    def half_is_unknown(self) -> None:
        def half(commands: Sequence[Command]) -> list[Delivery]:
            stored = self.transport.store(commands[::2])
            return [
                stored[number // 2] if number % 2 == 0 else Delivery(DeliveryStatus.UNKNOWN)
                for number in range(len(commands))
            ]

        self.transport.script.append(half)

    @rule(days=st.integers(-4_000, 4_000))
    def the_clock_jumps(self, days: int) -> None:
        self.clock.wall = max(self.clock.wall + int(days * DAY * 1000), 10**12)

    @rule()
    def kill(self) -> None:
        """SIGKILL: nothing is said, locks go."""
        memory = [*self.outbox._memory._waiting, *self.outbox._asked]
        self.may_be_gone |= {entry.command.fields["event_id"] for entry in memory if entry.copy is None}
        self.asked.clear()
        if self.outbox._spool is not None:
            self.outbox._spool.after_fork()  # closes the files, as the kernel does
        self.outbox = self.new_process()

    @rule()
    def end(self) -> None:
        self.outbox.close()
        self.asked.clear()
        self.outbox = self.new_process()

    @rule()
    def fork(self) -> None:
        """A child that records one and ends; its parent goes on."""
        child = self.new_process()
        child.after_fork()
        event_id = f"e{len(self.recorded)}"
        self.recorded.append(event_id)
        child.put(event(event_id))
        child.close()

    @invariant()
    def durable_loses_nothing_unseen_by_a_kill(self) -> None:
        if getattr(self, "settings", None) is not None and self.settings.durable:
            spoolless = self.outbox.counts().not_durable or self.settings.spool_bytes < 10**6
            assert spoolless or not self.may_be_gone

    def teardown(self) -> None:
        if not hasattr(self, "outbox"):
            return
        for entry in self.asked:
            self.outbox.unanswered(entry)
        self.transport.script.clear()
        for _ in range(300):
            self.clock.advance(120.0)
            self.outbox.step()
        assert self.outbox.pending() == 0
        arrived = set(self.transport.stored)
        missing = set(self.recorded) - arrived - self.reported - self.may_be_gone
        assert missing == set()
        assert len(arrived) == len(self.transport.stored)
        self.outbox.close()
        self.folder.cleanup()


Schedules.TestCase.settings = hypothesis_settings(max_examples=SCHEDULES, stateful_step_count=25, deadline=None)
TestSchedules = pytest.mark.slow(Schedules.TestCase)
