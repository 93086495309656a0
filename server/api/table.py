"""All operations of the API. A new room adds its tuple here, and is then routed, authorised and documented."""

from __future__ import annotations

from server.api import events, explanations, health, prices, usage
from server.api.routing import Operation

OPERATIONS: tuple[Operation, ...] = (
    *health.OPERATIONS,
    *events.OPERATIONS,
    *usage.OPERATIONS,
    *explanations.OPERATIONS,
    *prices.OPERATIONS,
)
