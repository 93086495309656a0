"""One call of the application's API: what was asked, what the handler found, how it ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from creditmeter_client.middleware.inline import decoded
from creditmeter_client.usage import Outcome, Usage

_OUTCOMES = {401: Outcome.UNAUTHENTICATED, 403: Outcome.BLOCKED, 429: Outcome.RATE_LIMITED}
_SERVER_ERROR = 500
_CLIENT_ERROR = 400


class Call:
    """What a describing function reads and a handler adds to.

    `headers` and `response_headers` have lower-case names; a header that came several times is joined by `, `. `raw` is
    the ASGI scope or the WSGI environ. Before the work, `status` is None.
    """

    def __init__(
        self,
        method: str,
        path: str,
        headers: Iterable[tuple[str, str]] = (),
        *,
        query_string: str = "",
        client_ip: str | None = None,
        raw: Mapping[str, Any] | None = None,
    ) -> None:
        self.method = method
        self.path = path
        self.headers = joined(headers)
        self.query_string = query_string
        self.client_ip = client_ip
        """The peer's address; behind a proxy that is the proxy's."""
        self.raw = raw if raw is not None else {}
        self.status: int | None = None
        self._response_lines: Sequence[tuple[bytes, bytes]] = ()
        self._response_headers: dict[str, str] | None = None
        self.quantities: dict[str, int] = {}
        """For the handler: what was found or returned, such as `results`."""
        self.attributes: dict[str, str] = {}
        """For the handler: anything else worth keeping."""
        self.subjects: dict[str, str] = {}
        """For the handler: `user_id`, `ip`, `domain`, where the call is about one."""
        self.account_id: str | None = None
        """For whoever authenticates the caller."""
        self.actor: str | None = None
        self.usages: list[Usage] = []
        """For the handler: further uses of this call, such as one for each entity of a bulk call."""

    @property
    def response_headers(self) -> dict[str, str]:
        """Empty before the work."""
        if self._response_headers is None:
            self._response_headers = joined(decoded(self._response_lines))
        return self._response_headers

    def answered(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """For the middleware: how the answer begins. Its headers are decoded when somebody reads them."""
        self.status, self._response_lines, self._response_headers = status, headers, None

    def found(self, **quantities: int) -> None:
        """Adds to the quantities: `current_call().found(results=25)`."""
        for name, quantity in quantities.items():
            self.quantities[name] = self.quantities.get(name, 0) + quantity

    def usage(self, account_id: str, endpoint: str, **fields: Any) -> Usage:
        """A usage with what the handler added; `fields` win."""
        own: dict[str, Any] = {
            "actor": self.actor,
            "quantities": dict(self.quantities),
            "attributes": dict(self.attributes),
            **self.subjects,
        }
        return Usage(account_id=account_id, endpoint=endpoint, **{**own, **fields})


_current: ContextVar[Call | None] = ContextVar("creditmeter_call", default=None)


def current_call() -> Call:
    """The call that is being answered. Outside of a middleware, as in a unit test, a new one that nobody reads."""
    call = _current.get()
    return Call("GET", "/") if call is None else call


def joined(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Headers by name in lower case; several of a name are joined."""
    by_name: dict[str, str] = {}
    for name, value in headers:
        key = name.lower()
        by_name[key] = f"{by_name[key]}, {value}" if key in by_name else value
    return by_name


def outcome_of(status: int) -> Outcome:
    """How a request with this status ended, as for access logs: below 400 it was processed."""
    if status >= _SERVER_ERROR:
        return Outcome.FAILED
    return Outcome.PROCESSED if status < _CLIENT_ERROR else _OUTCOMES.get(status, Outcome.INVALID)
