"""The events of a request's body: one, a list, NDJSON, or CloudEvents in each of their modes (SERVER.md 2.1).

A body is read quickly first. Where an event is wrong, or something may stand twice, all of it is read once more,
strictly, and every mistake gets its JSON pointer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from application.input.ndjson import to_ms
from metering.mistakes import all_mistakes
from metering.records import Command, Outcome
from metering.validation import check_event
from server.api.problems import Mistake, Problem, ProblemType
from server.bodies import cloud_events
from server.bodies.json_documents import (
    MOST_MISTAKES,
    Malformed,
    TooManyValues,
    check_size,
    mistakes_in,
    pointer_of,
    read_quickly,
    read_strictly,
)

MOST_EVENTS = 5_000
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class BodyKind(Enum):
    """What a content type says that the body is."""

    JSON = ("application/json",)
    LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl")
    CLOUD_EVENT = ("application/cloudevents+json",)
    CLOUD_EVENTS = ("application/cloudevents-batch+json",)


_KINDS = {name: kind for kind in BodyKind for name in kind.value}


class Event(NamedTuple):
    """One event of a body: a good record, plain as `metering` has it, or every mistake of it."""

    record: dict[str, Any]
    mistakes: Sequence[Mistake]


@dataclass(frozen=True, slots=True)
class Defaults:
    """What events of a request need not say. `account_id`: the key's own, where it has one."""

    account_id: str | None = None
    source_in_id: bool = True


class EventBody:
    """A body whose events are read. Raises Problem: 400 where it cannot be read, 413, 415."""

    def __init__(self, headers: Mapping[str, str], body: bytes, defaults: Defaults) -> None:
        self._headers = headers
        self._defaults = defaults
        self._kind = _kind_of(headers)
        self._is_binary = self._kind is BodyKind.JSON and cloud_events.is_binary(headers)
        self._body = body.removeprefix(_BYTE_ORDER_MARK)
        self._strict: list[Any] | None = None
        self._has_list = False
        try:
            check_size(self._body)
        except TooManyValues:
            raise Problem(ProblemType.TOO_LARGE, "the body has too many values: send fewer events at once") from None
        self._documents, self._is_certain = self._read()
        if len(self._documents) > MOST_EVENTS:
            raise Problem(
                ProblemType.TOO_LARGE,
                f"{len(self._documents)} events: a request has at most {MOST_EVENTS}; nothing was stored",
            )

    def __len__(self) -> int:
        return len(self._documents)

    def pointer(self, index: int) -> str:
        """The pointer to an event in the body; NDJSON counts as a list of its lines."""
        return f"/{index}" if self._has_list else ""

    def event(self, index: int) -> Event:
        """One event, checked by `metering`'s rules."""
        document = self._documents[index]
        if type(document) is dict and self._is_certain:
            record, mistakes = self._record(document, index)
            if not mistakes and check_event(record) is None:
                return Event(record, ())
        return self._strict_event(index)

    def field_pointer(self, index: int, *path: str) -> str:
        """The pointer to a field of an event, or to what it was made from."""
        base, field = self.pointer(index), path[0]
        if self._is_binary:
            return (
                pointer_of("", *path)
                if field not in cloud_events.POINTERS
                else f"/ce-{cloud_events.POINTERS[field][1:]}"
            )
        if self._kind in {BodyKind.CLOUD_EVENT, BodyKind.CLOUD_EVENTS}:
            own = cloud_events.POINTERS.get(field)
            return base + own if own is not None else pointer_of(base + cloud_events.DATA, *path)
        return pointer_of(base, *path)

    def _strict_event(self, index: int) -> Event:
        if self._strict is None:
            self._strict = self._read_strictly()
        document = self._strict[index]
        base = self.pointer(index)
        mistakes = mistakes_in(document["data"], "") if self._is_binary else mistakes_in(document, base)
        if not isinstance(document, dict):
            return Event({}, mistakes or [Mistake(base, "should be an object with an event's fields")])
        record, around = self._record(document, index)
        by_pointer = {mistake.pointer: mistake for mistake in mistakes}
        for mistake in around:
            by_pointer.setdefault(mistake.pointer, mistake)
        for field_mistake in all_mistakes(Command.REQUEST, record, MOST_MISTAKES):
            if around and field_mistake.path == ("event_id",) and "event_id" not in record:
                continue  # what it is made from is wrong already
            pointer = self.field_pointer(index, *field_mistake.path)
            by_pointer.setdefault(pointer, Mistake(pointer, field_mistake.sentence.partition(": ")[2]))
        if not by_pointer:
            check_event(record)
        return Event(record, list(by_pointer.values())[:MOST_MISTAKES])

    def _record(self, document: dict[str, Any], index: int) -> tuple[dict[str, Any], list[Mistake]]:
        """The record that a document stands for, not yet judged, and mistakes of what is around it."""
        mistakes: list[Mistake] = []
        if self._is_binary or self._kind in {BodyKind.CLOUD_EVENT, BodyKind.CLOUD_EVENTS}:
            base = self.pointer(index)
            record, mistakes = cloud_events.unwrapped(document, base, source_in_id=self._defaults.source_in_id)
            if self._is_binary:
                mistakes = [Mistake(_in_binary_mode(mistake.pointer), mistake.detail) for mistake in mistakes]
        else:
            record = document
        if type(record) is not dict or not self._is_certain:
            record = {name: dict(value) if isinstance(value, dict) else value for name, value in record.items()}
        if type(occurred_at := record.get("occurred_at")) is str:
            record["occurred_at"] = to_ms(occurred_at)
        if record.get("outcome") is None:
            record["outcome"] = Outcome.PROCESSED.value
        if self._defaults.account_id is not None:
            record.setdefault("account_id", self._defaults.account_id)
        return record, mistakes

    def _read(self) -> tuple[list[Any], bool]:
        """The documents of all events, and whether nothing stands twice in any of them."""
        texts = self._texts()
        if self._kind is BodyKind.LINES:
            self._has_list = True
        read = [read_quickly(text) for text in texts]
        if None in read:
            self._strict = self._listed([self._strictly(text, number) for number, text in enumerate(texts)])
            return self._strict, False
        documents = self._listed([quick.document for quick in read if quick is not None])
        return documents, all(quick.is_certain for quick in read if quick is not None)

    def _read_strictly(self) -> list[Any]:
        return self._listed([self._strictly(text, number) for number, text in enumerate(self._texts())])

    def _texts(self) -> list[bytes]:
        """The JSON texts of the body. A line of nothing but white space is no line."""
        if self._kind is not BodyKind.LINES:
            return [self._body]
        return [line for line in self._body.split(b"\n") if line.strip()]

    def _listed(self, texts: list[Any]) -> list[Any]:
        """By the kind of body, the documents of its events. Raises Problem where its shape is another."""
        if self._kind is BodyKind.LINES:
            return texts
        (document,) = texts
        if self._is_binary:
            return [cloud_events.from_headers(self._headers, document)]
        if self._kind is BodyKind.CLOUD_EVENTS and not isinstance(document, list):
            raise Problem(
                ProblemType.MALFORMED, "a batch of CloudEvents is a JSON list", [Mistake("", "should be a list")]
            )
        if isinstance(document, list) and self._kind is not BodyKind.CLOUD_EVENT:
            self._has_list = True
            return document
        return [document]

    def _strictly(self, text: bytes, number: int) -> Any:
        try:
            return read_strictly(text)
        except Malformed as error:
            is_line = self._kind is BodyKind.LINES
            where, pointer = (
                (f"event {number + 1} is no JSON", f"/{number}") if is_line else ("the body is no JSON", "")
            )
            raise Problem(
                ProblemType.MALFORMED, f"{where}: {error}; nothing was stored", [Mistake(pointer, str(error))]
            ) from error


def _in_binary_mode(pointer: str) -> str:
    """Where a part of a structured CloudEvent stands in binary mode: a header, or the body itself."""
    if pointer.startswith(cloud_events.DATA):
        return pointer.removeprefix(cloud_events.DATA)
    return f"/ce-{pointer[1:]}"


def _kind_of(headers: Mapping[str, str]) -> BodyKind:
    given, _, parameters = headers.get("content-type", "").partition(";")
    kind = _KINDS.get(given.strip().lower())
    if kind is None:
        raise Problem(
            ProblemType.UNSUPPORTED_MEDIA_TYPE, f"content-type: one of {', '.join(_KINDS)} is read here",
            headers={"accept-post": ", ".join(_KINDS)},
        )  # fmt: skip
    charset = parameters.lower().replace(" ", "").replace('"', "")
    if "charset=" in charset and "charset=utf-8" not in charset:
        raise Problem(ProblemType.UNSUPPORTED_MEDIA_TYPE, "JSON is UTF-8: leave the charset out")
    return kind
