"""Answers only for the hosts that this server is meant to be: no stranger's page reaches it by another name."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection

from starlette.types import ASGIApp, Receive, Scope, Send

from server.api.problems import Problem, ProblemType

_ALWAYS = {"localhost"}


class HostMiddleware:
    """`hosts`: names without port. Addresses and localhost always pass: a name of somebody else is what is refused."""

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self._app = app
        self._hosts = {host.lower() for host in hosts} | _ALWAYS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (why := self._refusal(scope)) is not None:
            await Problem(ProblemType.UNKNOWN_HOST, why).response()(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> str | None:
        given = [value for name, value in scope["headers"] if name == b"host"]
        if len(given) != 1:
            return "a request has exactly one Host"
        host = given[0].decode("latin-1").lower()
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() and not host.endswith("]") else host
        if name in self._hosts or _is_address(name.strip("[]")):
            return None
        return "set serve_hosts to the names that this server has"


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
