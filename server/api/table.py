"""All operations of the API. A new room adds its tuple here, and is then routed, authorised and documented."""

from __future__ import annotations

from server.api import events, health
from server.api.routing import Operation

OPERATIONS: tuple[Operation, ...] = (*health.OPERATIONS, *events.OPERATIONS)
