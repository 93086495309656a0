"""The table of operations, and finding the one that a request asks for.

Each room of the API (`events`, `receipts`, `holds`, …) has a tuple of `Operation`s; `server/api/table.py` puts them
together. An operation says who may ask for it, so that no handler can forget to look.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from application.access.identity import Action
from server.api.contract import Content, Link, Parameter, Shape
from server.api.paths import BadSegment, id_of, segments_of
from server.api.problems import Problem, ProblemType

if TYPE_CHECKING:
    from server.api.call import Call

OWN = ""
"""Stands for the key's own account among a path's ids: no id is empty."""
Handler = Callable[["Call"], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. `path`: `/v1/accounts/{account}/usage`, each `{…}` an id in one segment.

    `action`: what the key must allow, for the account in the path where there is `{account}`, else for the key's own;
    None: anyone. All behind the handler is for the OpenAPI document: `answers` by status, and the types of `problems`
    beside those that every operation may have. `parameters` None: the handler checks them itself, undocumented.
    """

    method: str
    path: str
    action: Action | None
    handler: Handler
    summary: str
    parameters: tuple[Parameter, ...] | None = None
    body: Shape | Content | None = None
    answers: Mapping[int, Shape | Content] = field(default_factory=lambda: {200: dict[str, Any]})
    problems: tuple[ProblemType, ...] = ()
    links: Mapping[str, Link] = field(default_factory=dict)
    segments: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "segments", tuple(self.path.split("/")[1:]))


@dataclass(frozen=True, slots=True)
class Match:
    """An operation and the ids of its path, by their names."""

    operation: Operation
    ids: dict[str, str]


class Router:
    """Finds operations by method and raw path."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._by_length: dict[int, list[Operation]] = {}
        self._plain: dict[tuple[str, bytes], Match] = {}
        for operation in operations:
            self._by_length.setdefault(len(operation.segments), []).append(operation)
            if "{" not in operation.path:
                self._plain[operation.method, operation.path.encode()] = Match(operation, {})

    def match(self, method: str, raw_path: bytes) -> Match:
        """The operation. Raises Problem: 404 for no such path, 405 for another method of it."""
        plain = self._plain.get((method, raw_path))
        if plain is not None:
            return plain
        allowed: set[str] = set()
        try:
            segments = segments_of(raw_path)
            for operation in self._by_length.get(len(segments), ()):
                if not _fits(operation.segments, segments):
                    continue
                if operation.method == method or (method == "HEAD" and operation.method == "GET"):
                    return Match(operation, _ids(operation.segments, segments))
                allowed.add(operation.method)
        except BadSegment as error:
            raise Problem(ProblemType.NOT_FOUND, str(error)) from error
        if allowed:
            listed = ", ".join(sorted(allowed))
            raise Problem(ProblemType.METHOD_NOT_ALLOWED, f"here there is {listed}", headers={"allow": listed})
        raise Problem(ProblemType.NOT_FOUND, "no such path; docs/api.md lists what there is")


def _is_id(segment: str) -> bool:
    return segment.startswith("{")


def _fits(pattern: Sequence[str], segments: Sequence[str]) -> bool:
    return all(_is_id(wanted) or wanted == given for wanted, given in zip(pattern, segments, strict=True))


def _ids(pattern: Sequence[str], segments: Sequence[str]) -> dict[str, str]:
    """`self` where an account is meant is the key's own; an account of that name is written `~c2VsZg`."""
    ids = {}
    for wanted, given in zip(pattern, segments, strict=True):
        if _is_id(wanted):
            name = wanted[1:-1]
            ids[name] = OWN if name == "account" and given == "self" else id_of(given)
    return ids
