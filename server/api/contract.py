"""What an operation takes and answers, as the OpenAPI document says it: types that msgspec describes, and components.

It stands beside the operation in the table. Where it is left out, the document has the operation with any object.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

JSON, NDJSON, CSV = "application/json", "application/x-ndjson", "text/csv"


@dataclass(frozen=True, slots=True)
class Component:
    """A schema of its own name that is made from something else than a type. `uses`: components that it refers to."""

    name: str
    schema: Callable[[], dict[str, Any]]
    uses: tuple[Component, ...] = ()

    @property
    def reference(self) -> dict[str, Any]:
        """What refers to it."""
        return {"$ref": f"#/components/schemas/{self.name}"}


@dataclass(frozen=True, slots=True)
class Either:
    """One of these types."""

    shapes: tuple[Any, ...]


Shape = Any
"""A type, a Component, or an Either."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the URL, or a header. `many`: whether it may be given several times."""

    name: str
    meaning: str
    type: Any = str
    many: bool = False
    where: Literal["query", "header"] = "query"


@dataclass(frozen=True, slots=True)
class Content:
    """A body or an answer by media type; None: text whose shape is not described. `headers`: by name, their meaning."""

    media: Mapping[str, Shape | None]
    meaning: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Link:
    """How an answer leads to another operation: its method and path, and by parameter where its value stands."""

    to: str
    parameters: Mapping[str, str]
    status: int = 200


def id_of_answer(member: str, parameter: str = "id") -> dict[str, str]:
    """The parameters of a link to one thing of the same account: its id stands in the answer."""
    return {"account": "$request.path.account", parameter: f"$response.body#/{member}"}


WAIT = Parameter("wait", "decision: wait up to 10 s for it", Literal["decision"])
PREFER = Parameter("prefer", "wait=N: wait up to N seconds, 30 at most", str, where="header")
IDEMPOTENCY_KEY = Parameter("idempotency-key", "the command's own id, in place of the body's", str, where="header")
