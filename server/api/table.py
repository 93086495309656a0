"""All operations of the API. A new room adds its tuple here, and is then routed, authorised and documented."""

from __future__ import annotations

from server.api import (
    access,
    accounts,
    commands,
    dead_letters,
    deliveries,
    documentation,
    estimates,
    events,
    explanations,
    health,
    holds,
    prices,
    receipts,
    usage,
    webhooks,
)
from server.api.routing import Operation

OPERATIONS: tuple[Operation, ...] = (
    *health.OPERATIONS,
    *documentation.OPERATIONS,
    *events.OPERATIONS,
    *receipts.OPERATIONS,
    *holds.OPERATIONS,
    *estimates.OPERATIONS,
    *usage.OPERATIONS,
    *explanations.OPERATIONS,
    *prices.OPERATIONS,
    *access.OPERATIONS,
    *webhooks.OPERATIONS,
    *deliveries.OPERATIONS,
    *accounts.OPERATIONS,
    *commands.OPERATIONS,
    *dead_letters.OPERATIONS,
)
