"""What an app is made of: made once by whoever starts a server, and by tests over in-memory twins."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from application.access.access import Access
from application.access.authenticator import Authenticator
from application.configuration.page_actions import RowAction
from application.ingest.accepting import EventIntake
from application.ingest.decisions import Decisions
from application.ingest.holds import HoldDesk
from application.ingest.lookup import ReceiptLookup
from application.ingest.recorded import RecordedDecisions
from application.pipeline import Pipeline
from server.api.reads import Reads
from server.limits import Bounds, Limits
from server.metrics import HttpMetrics
from server.openapi.documentation import Documentation

Check = Callable[[], str | None]
"""Says why something is not ready, in words; None: it is. Must not block."""


@dataclass(frozen=True, slots=True)
class PublicFace:
    """How clients see the server. `hosts`: names that it answers for, beside localhost and addresses.

    `origins`: whose pages may ask from browsers. `over_tls`: whether they come over TLS (a proxy's). `source_in_id`:
    whether a CloudEvent's source is part of its event_id. `public_url`: where browsers reach it. `company`: whose pages
    these are. `row_actions`: the company's own entries in a row's menu.
    """

    hosts: Sequence[str] = ()
    over_tls: bool = False
    source_in_id: bool = True
    origins: Sequence[str] = ()
    public_url: str | None = None
    company: str = "creditmeter"
    row_actions: Sequence[RowAction] = ()


@dataclass
class Parts:
    """Everything that operations use. `ready_for_events` and `ready_for_reads`: what /health/ready asks.

    `reads` is None where the server has no ClickHouse to read from.
    """

    pipeline: Pipeline
    authenticator: Authenticator
    intake: EventIntake
    decisions: Decisions
    reads: Reads | None = None
    face: PublicFace = field(default_factory=PublicFace)
    bounds: Bounds = field(default_factory=Bounds)
    metrics: HttpMetrics = field(default_factory=HttpMetrics)
    ready_for_events: list[Check] = field(default_factory=list)
    ready_for_reads: list[Check] = field(default_factory=list)
    access: Access | None = None
    """What keys, links and members are managed with; None where a server manages none."""
    is_draining: bool = False
    documentation: Documentation = field(default_factory=Documentation)
    """What the API says about itself; the app fills in its operations."""

    def __post_init__(self) -> None:
        store = None if self.reads is None else self.reads.usage.store
        self.recorded = None if store is None else RecordedDecisions(store, self.pipeline.names)
        self.lookup = ReceiptLookup(self.pipeline, self.decisions, self.recorded)
        self.holds = HoldDesk(self.intake, self.decisions, self.recorded)
        self.limits = Limits(self.bounds)
        self.large_bodies = asyncio.Lock()
        """Who holds it reads a large body: one at a time, so that what it takes while it is read is taken once."""
