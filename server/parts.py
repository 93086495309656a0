"""What an app is made of: made once by whoever starts a server, and by tests over in-memory twins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from application.access.authenticator import Authenticator
from application.pipeline import Pipeline
from server.limits import Bounds, Limits
from server.metrics import HttpMetrics

Check = Callable[[], str | None]
"""Says why something is not ready, in words; None: it is. Must not block."""


@dataclass
class Parts:
    """Everything that operations use.

    `hosts`: names that the server answers for, beside localhost and addresses. `over_tls`: whether clients come over
    TLS (a proxy's). `ready_for_events`, `ready_for_reads`: what /health/ready asks.
    """

    pipeline: Pipeline
    authenticator: Authenticator
    bounds: Bounds = field(default_factory=Bounds)
    hosts: Sequence[str] = ()
    over_tls: bool = False
    metrics: HttpMetrics = field(default_factory=HttpMetrics)
    ready_for_events: list[Check] = field(default_factory=list)
    ready_for_reads: list[Check] = field(default_factory=list)
    is_draining: bool = False

    def __post_init__(self) -> None:
        self.limits = Limits(self.bounds)
