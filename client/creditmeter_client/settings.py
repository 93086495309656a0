"""How a meter behaves. The defaults suit a web service; each field says what it bounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from creditmeter_client.recording.backoff import BackoffPolicy
from creditmeter_client.results import Failure

FailureCallback = Callable[[Failure], None]

DAY_MS = 86_400_000


@dataclass(frozen=True)
class MeterSettings:
    """Sizes, times and callbacks of a `Meter`. Raises ValueError, naming every wrong field."""

    queue_events: int = 10_000
    """Commands kept in memory at most."""
    queue_bytes: int = 16 << 20
    """Bytes (as JSON) kept in memory at most."""
    batch_events: int = 500
    """Commands in one request at most; the server takes up to 5,000."""
    linger: float = 0.05
    """Seconds that the first command of a batch waits for others."""
    backoff: BackoffPolicy = field(default_factory=BackoffPolicy)
    spool: Path | None = None
    """A folder on a local disk (0700). None: what finds no room in memory is lost, and reported."""
    spool_bytes: int = 256 << 20
    """Bytes in that folder at most, all processes together."""
    spool_age_ms: int = DAY_MS
    """What has waited longer in the spool is reported lost. Keep it below the price book's accept_window."""
    durable: bool = False
    """Each record is on the disk (fsync) before `record` returns. Without, a kill -9 loses what is in memory."""
    exit_timeout: float = 5.0
    """Seconds that the end of the process may wait for deliveries."""
    failures_kept: int = 1_000
    """How many of the newest failures `Meter.failed` returns."""
    on_refused: FailureCallback | None = None
    """Called for each command that the meter will never accept. From a background thread; may be slow, may raise."""
    on_lost: FailureCallback | None = None
    """Called for each command that could be kept nowhere: no room, or too old."""

    def __post_init__(self) -> None:
        at_least_one = ("queue_events", "queue_bytes", "batch_events", "spool_bytes", "spool_age_ms", "failures_kept")
        mistakes = [f"{name} must be at least 1" for name in at_least_one if getattr(self, name) < 1]
        mistakes += [f"{name} must not be negative" for name in ("linger", "exit_timeout") if getattr(self, name) < 0]
        if self.batch_events > 5_000:
            mistakes.append("batch_events must be at most 5000")
        if self.durable and self.spool is None:
            mistakes.append("durable needs a spool: name a folder")
        if mistakes:
            raise ValueError("; ".join(mistakes))
