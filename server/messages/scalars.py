"""Values that many bodies and answers have."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired, TypedDict

from msgspec import Meta

from metering.records import MAX_ID
from metering.validation import MAX_REASON, MAX_TEXT

READ = "read"
"""The member of `Meta.extra` that says how a body's value is read, where its type does not say it."""
TYPES = "x-types"
"""The member of a schema that stands for its `type`, where a client may give more than what is decoded."""

Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID)]
ShortText = Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]
Reason = Annotated[str, Meta(max_length=MAX_REASON)]
Whole = Annotated[int, Meta(ge=-(2**53) + 1, le=2**53 - 1)]
"""A whole number that every JSON reader reads alike."""
Instant = Annotated[
    int,
    Meta(
        description="RFC 3339, or ms since 1970",
        extra_json_schema={TYPES: ["string", "integer"], "format": "date-time"},
        extra={READ: "time"},
    ),
]
"""A time that a client gives; ms once it is read."""
Texts = Annotated[
    tuple[str, ...],
    Meta(
        description="a text, or a list of them",
        extra_json_schema={TYPES: ["string", "array"]},
        extra={READ: "texts"},
    ),
]
Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
"""A time in an answer: RFC 3339 in UTC."""
AsOfText = Annotated[str, Meta(description="how far the store had loaded the log when it was asked")]
Output = Annotated[
    dict[str, Any], Meta(description="something that the command caused; `type` says what, docs/schemas.md explains it")
]


class MistakeShown(TypedDict):
    """One thing that is wrong: a JSON pointer into the body, or a parameter's name."""

    pointer: str
    detail: str


class ProblemDocument(TypedDict):
    """A refusal (RFC 9457). Some types have further members."""

    type: str
    title: str
    status: int
    detail: str
    errors: NotRequired[list[MistakeShown]]


class Fine(TypedDict):
    """All is well."""

    status: str
