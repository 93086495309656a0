"""The meter: record what was used, ask what it costs."""

from __future__ import annotations

import atexit
import logging
import os
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

from creditmeter_client.aio import AsyncQuestions
from creditmeter_client.clock import Clock, SystemClock
from creditmeter_client.errors import MeterError, MeterUnavailable, NotSupported
from creditmeter_client.ids import new_id
from creditmeter_client.recording.memory_queue import Entry
from creditmeter_client.recording.outbox import Outbox
from creditmeter_client.recording.sender import SenderThread
from creditmeter_client.results import (
    Counts,
    Decision,
    DecisionStatus,
    Delivery,
    DeliveryStatus,
    Estimate,
    Failure,
    Hold,
)
from creditmeter_client.settings import MeterSettings
from creditmeter_client.transport import EventTransport, HoldRequest, Questions
from creditmeter_client.usage import Event, Outcome, Usage, event_of, refund_of
from creditmeter_client.workers import Workers

logger = logging.getLogger(__name__)

DEFAULT_WAIT = 0.25
"""Seconds that a decision is waited for."""
_ASKING_THREADS = 32
_meters: weakref.WeakSet[Meter] = weakref.WeakSet()


class Meter:
    """Records usage without waiting for the network, and asks when asked to. Safe in threads, asyncio and after fork.

    `transport` carries events. `questions` answers decide, hold, estimate, account and usage; None takes the transport
    where it can answer, and without one these raise NotSupported.

    Every event gets an id of the meter's own before its first try and keeps it, so that sending again is harmless:
    at-least-once delivery, counted once. `close` it at the end; a process that ends without has `exit_timeout` for it.
    """

    def __init__(
        self,
        transport: EventTransport,
        *,
        questions: Questions | None = None,
        settings: MeterSettings | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Raises ValueError for settings that can't work, such as a spool that others may enter."""
        self.settings = settings or MeterSettings()
        self.clock = clock or SystemClock()
        self._transport = transport
        self._questions: Any = questions if questions is not None else transport
        self._outbox = Outbox(transport, self.settings, self.clock)
        self._tickers: list[Callable[[float], Sequence[Event]]] = []
        self._sender = SenderThread(self._outbox, self.settings.linger, self.clock, self._tick)
        self._workers = Workers(_ASKING_THREADS)
        self._closed = False
        self.aio = AsyncQuestions(self)
        """The same questions for asyncio: `await meter.aio.decide(…)`."""
        _meters.add(self)
        self._at_exit = _at_exit(self)

    # -- recording

    def record(
        self,
        usage: Usage | None = None,
        *,
        event_id: str | None = None,
        hold_id: str | None = None,
        keeps_hold: bool = False,
        **fields: Any,
    ) -> str:
        """Records one use and returns its event's id. Never waits for the network, never raises.

        Give a `Usage` or its fields. What is wrong with it goes to `on_refused` and `failed`. `event_id` is for jobs
        that may run twice; don't take it from a request. With `hold_id` the event draws on that hold.
        """
        event_id = event_id or new_id()
        try:
            event = event_of(
                Usage(**fields) if usage is None else usage,
                now=self.clock.now_ms(),
                event_id=event_id,
                hold_id=hold_id,
                keeps_hold=keeps_hold,
            )
        except Exception as error:  # noqa: BLE001 -- a request must not fail for its metering
            event = Event(event_id, str(fields.get("account_id", "")), {**fields, "problem": repr(error)})
        self.record_event(event)
        return event_id

    def record_event(self, event: Event) -> None:
        """Records an event that was made before, by `event_of`. Never raises."""
        self._outbox.put(event)
        self._notify()

    def refund(self, account_id: str, event_id: str, reason: str, *, charge: str | None = None) -> str:
        """Gives back what an event was charged, and returns the refund's id. Sent like an event: never waits.

        Over HTTP this needs an operator's key.
        """
        refund = refund_of(account_id, event_id, reason, now=self.clock.now_ms(), charge=charge)
        self._outbox.put(refund)
        self._notify()
        return refund.refund_id

    # -- asking

    def decide(self, usage: Usage | None = None, *, wait: float = DEFAULT_WAIT, **fields: Any) -> Decision:
        """Records one use and waits up to `wait` seconds for what it cost.

        Raises NotSupported, and TypeError for fields that no usage has. The event is never lost by waiting: undecided
        in time, or with the meter away, the decision is `pending`, and the event is sent like any other.
        """
        event = event_of(Usage(**fields) if usage is None else usage, now=self.clock.now_ms())
        return self.decide_events([event], wait=wait)[0]

    def decide_events(self, events: Sequence[Event], *, wait: float = DEFAULT_WAIT) -> list[Decision]:
        """As `decide`, for several events in one request."""
        future = self.submit_decision(events, wait)
        try:
            return future.result(wait)
        except FutureTimeout:
            return [pending(event) for event in events]

    def submit_decision(self, events: Sequence[Event], wait: float) -> Future[list[Decision]]:
        """The decisions to come. Nobody has to wait for them: the events are on their way in any case."""
        questions = self._questions_or_raise()
        asked: list[tuple[Event, Entry | Decision]] = []
        for event in events:
            entry = self._outbox.begin_question(event)
            if isinstance(entry, Entry):
                asked.append((event, entry))
            elif entry:
                asked.append((event, Decision(event.event_id, DecisionStatus.INVALID, mistakes=entry)))
            else:
                asked.append((event, pending(event)))
        return self._workers.submit(self._decide, questions, asked, wait)

    def hold(
        self,
        account_id: str,
        *,
        credits: Mapping[str, int] | None = None,  # noqa: A002 -- the field's name in the API
        usage: Usage | None = None,
        expires_in: float = 3600.0,
        reason: str = "",
        wait: float = 1.0,
    ) -> Hold:
        """Sets credits aside for work to come: amounts by credit type, or the most that `usage` can cost.

        `expires_in` seconds; record the work's event with the hold's id before. Raises MeterUnavailable (the hold may
        exist: it expires), RequestRefused, NotSupported, ValueError unless exactly one of credits and usage is given.
        """
        return self._within(self.submit_hold(account_id, credits, usage, expires_in, reason, wait), wait)

    def submit_hold(
        self,
        account_id: str,
        amounts: Mapping[str, int] | None,
        usage: Usage | None,
        expires_in: float,
        reason: str,
        wait: float,
        hold_id: str | None = None,
    ) -> Future[Hold]:
        """As `hold`, without waiting. `hold_id`: an id from `new_id`, for a caller who must know it in any case."""
        now = self.clock.now_ms()
        event = None if usage is None else event_of(usage, now=now)
        request = HoldRequest(credits=amounts, event=event, expires_at=now + int(expires_in * 1000), reason=reason)
        return self._workers.submit(self._questions_or_raise().hold, hold_id or new_id(), account_id, request, wait)

    def release(self, hold: Hold, usage: Usage | None = None) -> None:
        """Lets a hold go, since the work was not done. Sent like an event (outcome failed): never waits or raises."""
        usage = usage or Usage(account_id=hold.account_id, endpoint="hold", outcome=Outcome.FAILED)
        self.record(usage, hold_id=hold.hold_id)

    def estimate(self, account_id: str, usages: Sequence[Usage]) -> Estimate:
        """What these would cost now, one after another, up to 5,000; nothing is stored.

        Raises RequestRefused, NotSupported, MeterUnavailable (also where the server has no state of the account).
        """
        now = self.clock.now_ms()
        return self._questions_or_raise().estimate(account_id, [event_of(usage, now=now) for usage in usages])

    def account(self, account_id: str) -> Mapping[str, Any]:
        """Balances, holds, grants, plan and settings of an account. Raises MeterError."""
        return self._questions_or_raise().account(account_id)

    def usage(self, account_id: str, **filters: str) -> Iterator[Mapping[str, Any]]:
        """The account's history, newest first, a row a line; pages are fetched as they are needed.

        `filters` as the API has them: `from_`, `to`, `actor`, `feature`, `endpoint`, … Raises MeterError.
        """
        return self._questions_or_raise().usage(account_id, {name.rstrip("_"): text for name, text in filters.items()})

    # -- seeing and ending

    def pending(self) -> int:
        """Commands of this process that are neither delivered nor given up, in memory and in its spool."""
        return self._outbox.pending()

    def failed(self) -> list[Failure]:
        """The newest commands that were refused or lost, oldest first."""
        return list(self._outbox.failures)

    def counts(self) -> Counts:
        return self._outbox.counts()

    def count_unasked(self, *, let_in: bool) -> None:
        """For middlewares: a request was let in, or turned away, because the meter was away."""
        self._outbox.count_unasked(let_in=let_in)

    def count_undescribed(self) -> None:
        """For middlewares: the application's describing function raised, so a call was not recorded."""
        self._outbox.count_undescribed()

    def add_ticker(self, ticker: Callable[[float], Sequence[Event]]) -> None:
        """Calls `ticker` with the monotonic time about every second; what it returns is recorded. inf: the end.

        Its method `after_fork`, where it has one, is called in a child process.
        """
        self._tickers.append(ticker)

    def wake(self) -> None:
        """For tickers: starts the background thread, which calls them, where nothing was recorded yet."""
        self._notify()

    def flush(self, timeout: float = 10.0) -> bool:
        """Waits up to `timeout` seconds; whether everything that was recorded is delivered, refused or reported."""
        return self._sender.wait_until_empty(timeout)

    def close(self, timeout: float | None = None) -> bool:
        """Delivers what it can within `timeout` seconds; the rest stays in the spool, or is reported lost.

        Returns whether everything was delivered. What is recorded afterwards goes to the spool, or is reported lost.
        """
        if self._closed:
            return not self._outbox.pending()
        self._closed = True
        self._tick(float("inf"))
        timeout = self.settings.exit_timeout if timeout is None else timeout
        deadline = self.clock.monotonic() + timeout
        delivered = self._sender.wait_until_empty(timeout, hurry=True)
        self._workers.close()
        self._sender.stop(max(0.0, deadline - self.clock.monotonic()))
        self._outbox.close()
        if delivered:  # else a thread may still be in it
            self._transport.close()
            if self._questions is not self._transport:
                self._questions.close()
        atexit.unregister(self._at_exit)
        return delivered

    def __enter__(self) -> Meter:  # noqa: PYI034 -- Python 3.10 has no Self
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # -- inside

    def _notify(self) -> None:
        if not self._closed:
            self._sender.notify()

    def _tick(self, now: float | None = None) -> None:
        now = self.clock.monotonic() if now is None else now
        for ticker in self._tickers:
            for event in ticker(now):
                self._outbox.put(event)

    def _decide(self, questions: Questions, asked: list[tuple[Event, Entry | Decision]], wait: float) -> list[Decision]:
        open_ = [(event, entry) for event, entry in asked if isinstance(entry, Entry)]
        decisions: dict[str, Decision] = {}
        try:
            if open_:
                answers = questions.decide([event for event, _ in open_], wait)
                decisions = {decision.event_id: decision for decision in answers}
        except MeterError as error:
            logger.warning("no decision: %s", error)
        finally:  # whatever a transport raises, no event stays behind
            for event, entry in open_:
                self._settle_question(entry, decisions.get(event.event_id))
            self._notify()
        return [
            entry if isinstance(entry, Decision) else decisions.get(event.event_id, pending(event))
            for event, entry in asked
        ]

    def _settle_question(self, entry: Entry, decision: Decision | None) -> None:
        if decision is None or (decision.status is DecisionStatus.PENDING and decision.receipt is None):
            self._outbox.unanswered(entry)
        elif decision.status is DecisionStatus.INVALID:
            self._outbox.answered(entry, Delivery(DeliveryStatus.INVALID, mistakes=decision.mistakes))
        else:
            self._outbox.answered(entry, Delivery(DeliveryStatus.STORED, decision.receipt))

    def _within(self, future: Future[Hold], wait: float) -> Hold:
        try:
            return future.result(wait)
        except FutureTimeout:
            raise MeterUnavailable(f"no answer within {wait} s") from None

    def _questions_or_raise(self) -> Questions:
        if not hasattr(self._questions, "decide"):
            raise NotSupported("this transport only sends: give Meter an HttpTransport as questions")
        questions: Questions = self._questions
        return questions

    def _after_fork(self) -> None:
        if self._closed:
            return
        self._outbox.after_fork()
        if self._questions is not self._transport:
            self._questions.after_fork()
        self._sender.reset()
        self._workers.reset()
        for ticker in self._tickers:
            forget = getattr(ticker, "after_fork", None)
            if forget is not None:
                forget()


def pending(event: Event) -> Decision:
    """The decision of an event of which nothing is known yet."""
    return Decision(event.event_id, DecisionStatus.PENDING)


def _at_exit(meter: Meter) -> Callable[[], None]:
    """Closes a meter that its program forgot, without keeping it alive."""
    reference = weakref.ref(meter)

    def close() -> None:
        forgotten = reference()
        if forgotten is not None:
            forgotten.close()

    atexit.register(close)
    return close


def _after_fork_in_child() -> None:
    for meter in list(_meters):
        meter._after_fork()  # noqa: SLF001 -- this module's own class


os.register_at_fork(after_in_child=_after_fork_in_child)
