"""What a middleware does around one call, without waiting: the ASGI and the WSGI middleware do the waiting.

In this order: rate limits, admission, the work, the decision where the caller asked for it, the record.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from creditmeter_client.errors import MeterError
from creditmeter_client.ids import new_id
from creditmeter_client.meter import Meter, pending
from creditmeter_client.middleware import problems
from creditmeter_client.middleware.breaker import Breaker
from creditmeter_client.middleware.calls import Call, outcome_of
from creditmeter_client.middleware.inline import is_detail_asked
from creditmeter_client.middleware.policies import Admission, Describe, MiddlewareSettings, WhenAway
from creditmeter_client.middleware.problems import ProblemAnswer
from creditmeter_client.middleware.refused_calls import RefusedCalls
from creditmeter_client.middleware.totals import credit_usage
from creditmeter_client.results import Decision, Hold, HoldStatus
from creditmeter_client.usage import Event, Outcome, Usage, event_of

logger = logging.getLogger(__name__)

_QUEUE_S = 600.0
"""Seconds that an event without a spool may wait in memory before its hold ends."""
_LONGEST_HOLD = 30 * 86_400.0 - 60.0
_LOG_EVERY = 10.0


class Shared:
    """What all calls of one middleware share."""

    def __init__(self, meter: Meter, settings: MiddlewareSettings) -> None:
        self.meter = meter
        self.settings = settings
        self.breaker = Breaker()
        self.refused = RefusedCalls(meter.clock.now_ms)
        meter.add_ticker(self.refused)
        spooled = meter.settings.spool_age_ms / 1000 if meter.settings.spool is not None else _QUEUE_S
        self.hold_seconds = min(settings.request_deadline + spooled, _LONGEST_HOLD)
        """A hold outlasts the request and the time that its event may wait."""
        self._next_log = 0.0

    def now(self) -> float:
        return self.meter.clock.monotonic()

    def log_away(self, path: str, why: BaseException | None, *, let_in: bool) -> None:
        """Counts every call that was not asked for, and logs at most one in ten seconds."""
        self.meter.count_unasked(let_in=let_in)
        if self.now() >= self._next_log:
            self._next_log = self.now() + _LOG_EVERY
            counts = self.meter.counts()
            logger.error(
                "the meter is away: %s was %s without asking for credits (%d let in, %d turned away so far): %s",
                path, "let in" if let_in else "turned away", counts.let_in_unasked, counts.turned_away,
                why or "no answer in time",
            )  # fmt: skip


class Session:
    """One call, from its arrival to its record."""

    def __init__(self, shared: Shared, call: Call) -> None:
        self._shared = shared
        self._meter = shared.meter
        self.call = call
        self._policy = shared.settings.policy_of(call.path)
        self._hold_id: str | None = None
        self._expected: list[Usage] = []
        self._after: list[Usage] | None = None  # what the call used, once it is over
        self._charged: list[Event] = []
        self._decisions: list[Decision] = []
        self._is_recorded = False

    # -- before the work

    def rate_limited(self) -> ProblemAnswer | None:
        """429 where a limit is used up. Blocks for Redis, where the counters are there."""
        limits = self._shared.settings.rate_limits
        if limits is None:
            return None
        for usage in self._described(self._shared.settings.describe):
            refusal = limits.check(usage, self._meter.clock.now_ms() / 1000)
            if refusal is not None:
                self._refuse(usage, Outcome.RATE_LIMITED)
                detail = f"{refusal.allowed} requests in {refusal.limit.per} s are allowed ({refusal.limit.name})"
                members = {"limit": refusal.limit.name}
                if refusal.plan is not None:
                    members["plan"] = refusal.plan
                return problems.too_many_requests(refusal.headers(), detail, members)
        return None

    def ask_admission(self) -> Future[Any] | None:
        """The question to wait for, at most `admission_wait` seconds; give its answer to `admitted`."""
        if self._policy.admission is Admission.NONE:
            return None
        self._expected = self._described(self._policy.expected or self._shared.settings.describe)
        if not self._expected:
            return None
        wait = self._shared.settings.admission_wait
        try:
            if self._policy.admission is Admission.CHARGE:
                self._charged = [event_of(usage, now=self._meter.clock.now_ms()) for usage in self._expected]
                return self._meter.submit_decision(self._charged, wait)
            self._hold_id = new_id()
            usage = self._expected[0]
            return self._meter.submit_hold(
                usage.account_id, None, usage, self._shared.hold_seconds, self.call.path, wait, self._hold_id
            )
        except MeterError as error:
            failed: Future[Any] = Future()
            failed.set_exception(error)
            return failed

    def admitted(self, question: Future[Any], *, in_time: bool) -> ProblemAnswer | None:
        """What to answer instead of the work; None: it may begin. `in_time`: the question has its answer."""
        if not in_time or question.exception() is not None:
            return self._unasked(question)
        if self._policy.admission is Admission.CHARGE:
            return self._admitted_by_charge(question, question.result())
        hold: Hold = question.result()
        if hold.status is HoldStatus.PENDING:
            return self._unasked(question)
        if hold.status is HoldStatus.REJECTED:
            self._hold_id = None
            self._refuse(self._expected[0], Outcome.BLOCKED)
            return problems.insufficient_credits(hold)
        return None

    # -- after the work

    def is_metered(self, *, is_over: bool) -> bool:
        """Whether the call costs credits or may. `is_over`: the handler has found all that it will."""
        described = self._described(self._shared.settings.describe)
        if is_over:
            self._after = described
        return bool(self._charged or self.call.usages or described)

    def ask_decision(self) -> Future[list[Decision]] | None:
        """Records the call, and returns the decisions to wait for; None where waiting is of no use now."""
        if self._charged:
            return None
        events = self._events(failed=False)
        self._is_recorded = True
        self._charged = events
        if not self._shared.breaker.may_wait(self._shared.now()):
            self._record(events)
            return None
        try:
            return self._meter.submit_decision(events, self._shared.settings.wait)
        except MeterError:
            self._record(events)
            return None

    def credit_usage(self, decisions: Sequence[Decision] | None, *, asked: bool) -> dict[str, Any]:
        """The member for the answer. `decisions` None: not in time. `asked`: `ask_decision` returned a question."""
        if asked:
            is_final = decisions is not None and all(decision.is_final for decision in decisions)
            self._shared.breaker.note(self._shared.now(), answered=is_final)
        decisions = decisions or self._decisions or [pending(event) for event in self._charged]
        return credit_usage(self._charged, decisions, detail=is_detail_asked(self.call.headers))

    def finish(self, *, failed: bool = False) -> None:
        """Records the call, once, however often this is called. `failed`: the application raised."""
        if self._is_recorded:
            return
        self._is_recorded = True
        if self._charged:  # before the work
            self._refund_unless_processed(failed=failed)
            return
        events = self._events(failed=failed)
        self._record(events)
        if self._hold_id is not None and not events and self._expected:
            released = replace(self._expected[0], outcome=Outcome.FAILED)
            self._meter.record(released, hold_id=self._hold_id)

    # -- inside

    def _described(self, describe: Describe) -> list[Usage]:
        try:
            usages = describe(self.call)
            usages = [] if usages is None else [usages] if isinstance(usages, Usage) else list(usages)
        except Exception:
            self._meter.count_undescribed()
            logger.exception("%s %s could not be described, so it is not recorded", self.call.method, self.call.path)
            return []
        return usages

    def _events(self, *, failed: bool) -> list[Event]:
        described = self._after if self._after is not None else self._described(self._shared.settings.describe)
        usages = [*described, *self.call.usages]
        outcome = Outcome.FAILED if failed or self.call.status is None else outcome_of(self.call.status)
        now = self._meter.clock.now_ms()
        return [
            event_of(
                replace(usage, outcome=outcome) if failed else usage,
                now=now,
                outcome=outcome,
                hold_id=self._hold_id,
                keeps_hold=number < len(usages),
            )
            for number, usage in enumerate(usages, 1)
        ]

    def _record(self, events: Sequence[Event]) -> None:
        for event in events:
            self._meter.record_event(event)

    def _refuse(self, usage: Usage, outcome: Outcome) -> None:
        self._is_recorded = True
        self._record(self._shared.refused.note(usage, outcome, self._shared.now()))
        self._meter.wake()

    def _admitted_by_charge(self, question: Future[Any], decisions: list[Decision]) -> ProblemAnswer | None:
        if any(decision.insufficient for decision in decisions):
            self._give_back(question, "another part of the request could not be paid for")
            self._is_recorded = True
            return problems.insufficient_credits(None)
        if not all(decision.is_final for decision in decisions):
            return self._unasked(question)
        self._decisions = decisions
        return None

    def _unasked(self, question: Future[Any]) -> ProblemAnswer | None:
        let_in = self._policy.when_away is WhenAway.OPEN
        why = question.exception() if question.done() else None
        self._shared.log_away(self.call.path, why, let_in=let_in)
        if let_in:
            return None
        self._is_recorded = True
        if self._charged:
            self._give_back(question, "the request was turned away: its admission was not known in time")
        elif self._hold_id is not None:
            self._meter.record(replace(self._expected[0], outcome=Outcome.FAILED), hold_id=self._hold_id)
        return problems.meter_away()

    def _refund_unless_processed(self, *, failed: bool) -> None:
        outcome = Outcome.FAILED if failed or self.call.status is None else outcome_of(self.call.status)
        if outcome is not Outcome.PROCESSED:
            ended = f"with {self.call.status}" if self.call.status is not None and not failed else "with an exception"
            for event in self._charged:
                self._meter.refund(event.account_id, event.event_id, f"the request ended {ended}")

    def _give_back(self, question: Future[Any], reason: str) -> None:
        """Refunds what was charged or may be, after the events themselves are on their way."""

        def refund(_question: Future[Any]) -> None:
            for event in self._charged:
                self._meter.refund(event.account_id, event.event_id, reason)

        question.add_done_callback(refund)
