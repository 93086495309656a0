"""What a middleware does on which route."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Union

from creditmeter_client.middleware.calls import Call
from creditmeter_client.middleware.rate_limits import RateLimits
from creditmeter_client.usage import Usage

Described = Union[Usage, Iterable[Usage], None]  # noqa: UP007 -- Python 3.10 evaluates it
Describe = Callable[[Call], Described]

_MINUTE = 60.0


class Admission(str, Enum):
    """Whether credits are asked for before the work."""

    NONE = "none"
    HOLD = "hold"
    """Credits are held before, and drawn with what was found; a failed request releases them."""
    CHARGE = "charge"
    """For fixed prices: the event first, a refund if the work fails. One trip. Refunds need an operator's key."""


class WhenAway(str, Enum):
    """What happens to a call whose admission can't be asked for."""

    OPEN = "open"
    """It is let in, and its event is sent as soon as the meter is back."""
    CLOSED = "closed"
    """It is turned away with 503."""


@dataclass(frozen=True)
class RoutePolicy:
    """How one route is admitted. `expected` says the most that a call can use, before the work; None: `describe`."""

    admission: Admission = Admission.NONE
    when_away: WhenAway = WhenAway.OPEN
    expected: Describe | None = None


@dataclass(frozen=True)
class MiddlewareSettings:
    """`describe` says what a call used, or None for one that costs nothing and is not recorded.

    It is called before the work (for rate limits and admission, with `status` None) and after it, and must only read.
    """

    describe: Describe
    routes: Mapping[str, RoutePolicy] = field(default_factory=dict)
    """By path; a trailing * is a prefix, the longest one counts. A path without an entry is admitted without asking."""
    rate_limits: RateLimits | None = None
    wait: float = 0.25
    """Seconds that an answer waits at most for its decision, where its caller asked for credit usage."""
    admission_wait: float = 1.0
    """Seconds that the work waits at most for its admission."""
    request_deadline: float = _MINUTE
    """Seconds that a request may take: a hold outlasts it."""
    largest_body: int = 1 << 20
    """Bytes of a JSON answer that may get credit usage."""

    def policy_of(self, path: str) -> RoutePolicy:
        """The policy of a path."""
        exact = self.routes.get(path)
        if exact is not None:
            return exact
        prefixes = [key for key in self.routes if key.endswith("*") and path.startswith(key[:-1])]
        return self.routes[max(prefixes, key=len)] if prefixes else RoutePolicy()
