"""Settings of every ClickHouse session, embedded or on a server."""

from __future__ import annotations

from collections.abc import Mapping

SESSION_TIMEZONE: Mapping[str, str] = {"session_timezone": "UTC"}
"""Makes ``toDateTime('…')``, ``parseDateTimeBestEffort('…')``, ``today()`` and ``toDate(now())`` mean UTC."""
