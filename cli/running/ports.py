"""Checks the configured ports before anything is started."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from local.port_holder import holder_of
from local.ports import is_free

if TYPE_CHECKING:
    from application.configuration.settings import Settings

_OURS = ("default", "creditmeter up")
"""Beginnings of the origins of a port that nobody has set: `up` may take another one and notes it."""


def is_set(origins: Mapping[str, str], name: str) -> bool:
    """Whether somebody has set it, in the file or the environment, so that every command will use that value."""
    return not origins[name].startswith(_OURS)


def taken_ports(settings: Settings, origins: Mapping[str, str]) -> list[str]:
    """Each port that is set and that somebody has: which, from which setting, and who has it; empty for none."""
    return [
        f"{name} = {port} ({origins[setting]}): {holder_of(port)} listens there; stop it, or set {setting} to another"
        for setting, name, port in _named(settings, origins)
        if not is_free(port)
    ]


def _named(settings: Settings, origins: Mapping[str, str]) -> Iterator[tuple[str, str, int]]:
    """(setting, how to name this port, port) of what worker, loader, server and deliverer will listen on."""
    if is_set(origins, "query_port"):
        yield "query_port", "query_port", settings.query_port
    if is_set(origins, "serve_port"):
        yield "serve_port", "serve_port", settings.serve_port
    if settings.metrics_port and settings.metrics_host in {"127.0.0.1", "localhost", "0.0.0.0"}:  # noqa: S104 -- compared, not opened
        for number in range(settings.processes + 2):  # the loader, the deliverer
            name = "metrics_port" if number == 0 else f"metrics_port + {number}"
            yield "metrics_port", name, settings.metrics_port + number
