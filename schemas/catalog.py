"""The schema files, their fingerprints, and every version that was ever released.

`schemas/<Name>.avsc` is the schema that this version writes; `schemas/history/<Name>.<n>.avsc` are the released ones,
the current one included.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from fastavro.schema import SchemaParseException, expand_schema, fingerprint, to_parsing_canonical_form

from schemas.errors import IncompatibleSchemas

NAMESPACE = "creditmeter.v1"
COMMANDS = {
    "RequestBatch": "request",
    "Hold": "hold",
    "RefundRequest": "refund",
    "Grant": "grant",
    "AccountUpdate": "account",
    "PriceBook": "price_book",
}
"""Command records and the word used for each."""
EVENT = "RequestEvent"
"""The record of one event of a RequestBatch."""
BATCHES = {
    "BilledBatch": "events",
    "RefundBatch": "refunds",
    "GrantBatch": "grants",
    "AlertBatch": "alerts",
    "AccountBatch": "accounts",
    "HoldBatch": "holds",
    "DeadLetterBatch": "dead_letters",
}
"""Output records and the name of their array of items."""
ANSWERS = ("repeated", "set_aside", "applied")
"""The further arrays of a BilledBatch, which answer the commands that have no lines (SPEC 4)."""
ACCESS = ("AccessKey", "Member", "Webhook", "LinkUse", "KeyUse", "ChangeRecord")
"""The records of the compacted topic of who may do what. They are neither commands nor outputs."""
DELIVERIES = ("Delivery", "DeliveryPosition")
"""The records of the compacted topic of what is sent to webhooks. They are neither commands nor outputs."""
NAMES = (*COMMANDS, *BATCHES, *ACCESS, *DELIVERIES)

Schema = dict[str, Any]


def fingerprint_of(schema: Schema) -> int:
    """CRC-64-AVRO of the schema's parsing canonical form, as the number that the specification gives."""
    return _crc_of(to_parsing_canonical_form(schema))


@cache
def _crc_of(canonical: str) -> int:
    """Counted in Python, byte by byte: once is enough for the schema of a process."""
    little_endian: str = fingerprint(canonical, "CRC-64-AVRO")
    return int.from_bytes(bytes.fromhex(little_endian), "little")


def expanded(schema: Any) -> Schema:
    """The schema with full names, and with every reference to a named type replaced by its definition.

    Raises `IncompatibleSchemas` for anything that is not a valid schema of one record.
    """
    try:
        whole: Any = expand_schema(schema)
    except (SchemaParseException, TypeError, KeyError, ValueError, AttributeError, RecursionError) as problem:
        raise IncompatibleSchemas(f"not a valid Avro schema: {problem}") from problem
    if not isinstance(whole, dict) or whole.get("type") != "record":
        raise IncompatibleSchemas("not the schema of a record")
    return dict(whole)


def short_name(schema: Schema) -> str:
    """The record's name without the namespace."""
    return str(schema["name"]).rpartition(".")[2]


@cache
def current(name: str) -> Schema:
    """The schema that this version writes, as its file has it. Treat it as frozen."""
    schema: Schema = json.loads(files("schemas").joinpath(f"{name}.avsc").read_text("utf-8"))
    return schema


@cache
def released() -> tuple[Schema, ...]:
    """Every released schema, oldest first for each record. Treat them as frozen."""
    versions = [
        (name, int(version), file.read_text("utf-8"))
        for file in files("schemas").joinpath("history").iterdir()
        for name, version, suffix in [_parts(file.name)]
        if suffix == "avsc"
    ]
    return tuple(json.loads(text) for _, _, text in sorted(versions))


def _parts(file_name: str) -> tuple[str, str, str]:
    name, version, suffix = file_name.split(".")
    return name, version, suffix
