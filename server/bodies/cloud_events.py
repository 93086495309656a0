"""CloudEvents 1.0 as events: structured, batched and binary mode (SERVER.md 2.1).

`subject` is the account, `time` occurred_at, event_id `source#id`, and `data` has the other fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, NamedTuple
from urllib.parse import unquote

from metering.records import MAX_ID
from server.api.problems import Mistake
from server.bodies.json_documents import pointer_of

POINTERS = {"event_id": "/id", "account_id": "/subject", "occurred_at": "/time"}
"""Where the fields that come from a CloudEvent's own attributes stand in its structured form; others are in /data."""
DATA = "/data"
REQUIRED = ("specversion", "id", "source", "type")
_HEADER = "ce-"
_JSON = ("application/json", "text/json")


class Unwrapped(NamedTuple):
    """The fields of an event, and what is wrong with the CloudEvent around them."""

    record: dict[str, Any]
    mistakes: list[Mistake]


def unwrapped(document: Mapping[str, Any], base: str, *, source_in_id: bool) -> Unwrapped:
    """A CloudEvent in its structured form. `base`: the pointer to it."""
    mistakes = [
        Mistake(pointer_of(base, name), "is missing or no text; CloudEvents 1.0 needs it")
        for name in REQUIRED
        if not isinstance(document.get(name), str) or not document[name]
    ]
    if not mistakes and document["specversion"] != "1.0":
        mistakes.append(Mistake(pointer_of(base, "specversion"), "should be 1.0"))
    if "data_base64" in document:
        mistakes.append(Mistake(pointer_of(base, "data_base64"), "data is read as JSON only: send it as data"))
    kind = document.get("datacontenttype", "application/json")
    if not isinstance(kind, str) or not _is_json(kind):
        mistakes.append(Mistake(pointer_of(base, "datacontenttype"), "should be application/json"))
    data = document.get("data", {})
    if not isinstance(data, dict):
        mistakes.append(Mistake(pointer_of(base, "data"), "should be an object with the event's fields"))
        data = {}
    record = dict(data)
    for field, pointer in POINTERS.items():
        if field in data:
            mistakes.append(Mistake(base + DATA + f"/{field}", f"is given by the CloudEvent's own {pointer[1:]}"))
            del record[field]
    if not mistakes:
        record["event_id"] = event_id_of(document["source"], document["id"], source_in_id=source_in_id)
    for field, name in (("account_id", "subject"), ("occurred_at", "time")):
        if name in document:
            record[field] = document[name]
    return Unwrapped(record, mistakes)


def event_id_of(source: str, own_id: str, *, source_in_id: bool) -> str:
    """The event_id of a CloudEvent: `source#id`; where that is too long, `ce:` and its SHA-256."""
    text = f"{source}#{own_id}" if source_in_id else own_id
    if len(text) <= MAX_ID:
        return text
    return "ce:" + sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def is_binary(headers: Mapping[str, str]) -> bool:
    """Whether a request is a CloudEvent in binary mode."""
    return f"{_HEADER}specversion" in headers


def from_headers(headers: Mapping[str, str], data: Any) -> dict[str, Any]:
    """A CloudEvent in binary mode, in its structured form. Values are percent-decoded (HTTP binding, 3.1.3.2)."""
    attributes = {name[len(_HEADER) :]: unquote(value) for name, value in headers.items() if name.startswith(_HEADER)}
    return {**attributes, "data": data}


def _is_json(kind: str) -> bool:
    plain = kind.partition(";")[0].strip().lower()
    return plain in _JSON or plain.endswith("+json")
