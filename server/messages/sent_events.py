"""The events that clients send as JSON Schemas, made from the Avro schema that they are stored with."""

from __future__ import annotations

from typing import Any

from metering.records import LAST_INSTANT, MAX_ID, YEAR_2000, Outcome
from metering.validation import EVENT_FIELDS, MAX_ATTRIBUTE, MAX_ENTRIES, MAX_QUANTITY, MAX_TEXT
from schemas.catalog import current
from server.api.contract import Component
from server.bodies import cloud_events
from server.bodies.event_bodies import MOST_EVENTS

_IDS = ("event_id", "account_id", "hold_id")
_NEEDED = ("event_id", "occurred_at", "endpoint", "channel")
_ENTRIES = {
    "quantities": {"type": "integer", "minimum": 0, "maximum": MAX_QUANTITY},
    "attributes": {"type": "string", "maxLength": MAX_ATTRIBUTE},
}


def event_schema() -> dict[str, Any]:
    """A RequestEvent as JSON: its fields with their meaning, and metering's limits."""
    fields = {field["name"]: field for field in current("RequestBatch")["fields"][0]["type"]["items"]["fields"]}
    properties = {name: {**_value(name, fields[name]), "description": fields[name]["doc"]} for name in EVENT_FIELDS}
    return {
        "type": "object",
        "description": "One request of one account. `account_id` may be left out where the key is for one account, "
        "`outcome` is processed unless given.",
        "properties": properties,
        "required": list(_NEEDED),
        "additionalProperties": False,
    }


def _value(name: str, field: dict[str, Any]) -> dict[str, Any]:
    if name == "occurred_at":
        return {
            "type": ["string", "integer"], "format": "date-time", "minimum": YEAR_2000, "maximum": LAST_INSTANT,
        }  # fmt: skip
    if name == "outcome":
        return {"type": ["string", "null"], "enum": [*map(str, Outcome), None]}
    if name in _ENTRIES:
        names = {"minLength": 1, "maxLength": MAX_TEXT}
        return {
            "type": ["object", "null"], "additionalProperties": _ENTRIES[name], "maxProperties": MAX_ENTRIES,
            "propertyNames": names,
        }  # fmt: skip
    kind = field["type"]
    if kind == "boolean":
        return {"type": ["boolean", "null"]}
    longest = MAX_ID if name in _IDS else MAX_TEXT
    if isinstance(kind, list):
        return {"type": ["string", "null"], "maxLength": longest}
    return {"type": "string", "minLength": 1, "maxLength": longest}


def _events() -> dict[str, Any]:
    return {"oneOf": [EVENT.reference, {"type": "array", "items": EVENT.reference, "maxItems": MOST_EVENTS}]}


def _lines() -> dict[str, Any]:
    return {"type": "string", "description": "an event a line; see RequestEvent"}


def _cloud_event() -> dict[str, Any]:
    data = event_schema()
    for name in cloud_events.POINTERS:
        del data["properties"][name]
    data["required"] = [name for name in _NEEDED if name not in cloud_events.POINTERS]
    data["description"] = "the other fields of a RequestEvent"
    text = {"type": "string", "minLength": 1}
    required = {name: dict(text) for name in cloud_events.REQUIRED}
    required["specversion"] = {"const": "1.0"}
    return {
        "type": "object",
        "description": "A CloudEvent 1.0: subject is the account, time occurred_at, source#id the event_id.",
        "properties": {
            **required, "subject": {"type": "string"}, "time": {"type": "string", "format": "date-time"},
            "datacontenttype": {"enum": ["application/json", "text/json"]}, "data": data,
        },
        "required": [*cloud_events.REQUIRED, "time", "data"],
    }  # fmt: skip


def _cloud_events() -> dict[str, Any]:
    return {"type": "array", "items": CLOUD_EVENT.reference, "maxItems": MOST_EVENTS}


EVENT = Component("RequestEvent", event_schema)
EVENTS = Component("RequestEvents", _events, (EVENT,))
LINES = Component("RequestEventLines", _lines)
CLOUD_EVENT = Component("CloudEvent", _cloud_event)
CLOUD_EVENTS = Component("CloudEvents", _cloud_events, (CLOUD_EVENT,))
