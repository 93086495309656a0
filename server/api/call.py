"""One request as its operation sees it: who asks, the ids of the path, parameters, and the body once asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope

from application.access.identity import Identity
from server.api.problems import Mistake, Problem, ProblemType
from server.bodies.receiving import receive_body

if TYPE_CHECKING:
    from server.limits import Usage
    from server.parts import Parts

_MOST_PARAMETERS = 200


@dataclass
class Call:
    """A request that was routed and whose key may do what it asks.

    `identity` is None for operations that are for anyone. `account`: the account of the path, `self` resolved; else the
    key's own, None for a key of all accounts. `facts` are written to the access log.
    """

    parts: Parts
    scope: Scope
    receive: Receive
    identity: Identity | None
    ids: Mapping[str, str]
    account: str | None
    usage: Usage
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def who(self) -> Identity:
        """Who asks, for operations that need a key."""
        if self.identity is None:
            raise RuntimeError("an operation for anyone has asked who asks")
        return self.identity

    @cached_property
    def headers(self) -> dict[str, str]:
        """By lower-case name; several of one name are joined with commas."""
        headers: dict[str, str] = {}
        for raw_name, raw_value in self.scope["headers"]:
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return headers

    @cached_property
    def query(self) -> dict[str, list[str]]:
        """Parameters of the URL by name, each with all of its values. Raises Problem where they cannot be read."""
        try:
            pairs = parse_qsl(
                self.scope["query_string"].decode("ascii"), keep_blank_values=True, errors="strict",
                max_num_fields=_MOST_PARAMETERS,
            )  # fmt: skip
        except ValueError as error:
            raise Problem(ProblemType.INVALID_PARAMETERS, "the URL's parameters cannot be read") from error
        values: dict[str, list[str]] = {}
        for name, value in pairs:
            values.setdefault(name, []).append(value)
        return values

    def parameter(self, name: str) -> str | None:
        """A parameter that may be given once; None where it is absent. Raises Problem."""
        values = self.query.get(name, [])
        if len(values) > 1:
            raise Problem(
                ProblemType.INVALID_PARAMETERS, f"{name} is given {len(values)} times", [Mistake(name, "give it once")]
            )
        return values[0] if values else None

    def only_parameters(self, *names: str) -> None:
        """Raises Problem for a parameter that the operation does not have."""
        unknown = [name for name in self.query if name not in names]
        if unknown:
            allowed = ", ".join(names) if names else "none"
            raise Problem(
                ProblemType.INVALID_PARAMETERS,
                f"unknown parameters; here there are: {allowed}",
                [Mistake(name[:80], "there is no such parameter") for name in unknown],
            )

    async def body(self) -> bytes:
        """The whole body, decompressed. Raises Problem: 400, 408, 413, 415, 429, 503."""
        return await receive_body(self.headers, self.receive, self.usage)
