"""How commands reach the meter, and how it is asked: two protocols with one contract suite over their implementations.

`EventTransport` is implemented over HTTP (`creditmeter_client.http`), over Kafka (`creditmeter_client.kafka`) and in
memory (`creditmeter_client.testing`). `Questions` needs somebody who answers: HTTP or memory.
All methods block; `Meter` calls them from threads of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from creditmeter_client.results import Decision, Delivery, Estimate, Hold
from creditmeter_client.usage import Command, Event


class EventTransport(Protocol):
    """Carries commands to the log. At-least-once: what is unknown is sent again, and ids make repeats harmless."""

    def send(self, commands: Sequence[Command]) -> Sequence[Delivery]:
        """Sends the commands and returns one delivery each, in order.

        Raises MeterUnavailable where nothing is known of any of them, and RequestRefused where the whole request was
        refused: then one of them may be the cause, and sending them apart tells which.
        """
        ...

    def after_fork(self) -> None:
        """Called in a new child process before anything else: forgets connections that belong to the parent."""
        ...

    def close(self) -> None: ...


class Questions(Protocol):
    """Asks the meter and waits for its answer. Every method raises MeterUnavailable and RequestRefused."""

    def decide(self, events: Sequence[Event], wait: float) -> Sequence[Decision]:
        """Sends the events and waits up to `wait` seconds for their decisions; one each, in order."""
        ...

    def hold(self, hold_id: str, account_id: str, request: HoldRequest, wait: float) -> Hold:
        """Sets credits aside; waits up to `wait` seconds for the decision."""
        ...

    def release(self, account_id: str, hold_id: str) -> None: ...

    def estimate(self, account_id: str, events: Sequence[Event]) -> Estimate:
        """What the events would cost, one after another. MeterUnavailable also where no state is at hand."""
        ...

    def account(self, account_id: str) -> Mapping[str, Any]: ...

    def usage(self, account_id: str, filters: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
        """Rows of the account's history, newest first, page after page."""
        ...

    def after_fork(self) -> None: ...

    def close(self) -> None: ...


class HoldRequest:
    """What to hold: amounts by credit type, or the most that an event to come can cost."""

    __slots__ = ("credits", "event", "expires_at", "reason")

    def __init__(
        self,
        *,
        expires_at: int,
        credits: Mapping[str, int] | None = None,  # noqa: A002 -- the field's name in the API
        event: Event | None = None,
        reason: str = "",
    ) -> None:
        """`expires_at` in ms. Raises ValueError unless exactly one of `credits` and `event` is given."""
        if (credits is None) == (event is None):
            raise ValueError("give either the credits to hold or the event to come")
        self.credits = credits
        self.event = event
        self.expires_at = expires_at
        self.reason = reason
