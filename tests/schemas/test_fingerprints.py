"""Fingerprints, checked with a second implementation written from the Avro specification."""

import json
from typing import Any

import pytest

from schemas.catalog import NAMES, current, fingerprint_of, released
from schemas.codec import Codec
from tests.schemas.records import EXAMPLES

EMPTY = 0xC15D213AA4D7A795
"""The specification's fingerprint of no bytes, which is also the polynomial."""
PROPERTIES = ("name", "type", "fields", "symbols", "items", "values", "size")


def crc64(data: bytes) -> int:
    """Bit by bit, without a table."""
    fingerprint = EMPTY
    for byte in data:
        fingerprint ^= byte
        for _ in range(8):
            fingerprint = fingerprint >> 1 ^ (EMPTY if fingerprint & 1 else 0)
    return fingerprint


def canonical(schema: Any, namespace: str = "") -> Any:
    """The parsing canonical form as JSON values, in the order of properties that it fixes."""
    if isinstance(schema, list):
        return [canonical(branch, namespace) for branch in schema]
    if not isinstance(schema, dict):
        return schema
    if "name" in schema and schema["type"] in {"record", "enum", "fixed"}:
        namespace = schema.get("namespace", namespace)
        schema = {**schema, "name": f"{namespace}.{schema['name']}"}
    kept = {key: schema[key] for key in PROPERTIES if key in schema}
    if set(kept) == {"type"}:
        return canonical(kept["type"], namespace)
    for key in ("type", "items", "values"):
        if key in kept:
            kept[key] = canonical(kept[key], namespace)
    if "fields" in kept:
        kept["fields"] = [
            {"name": field["name"], "type": canonical(field["type"], namespace)} for field in kept["fields"]
        ]
    return kept


def independent_fingerprint(schema: Any) -> int:
    return crc64(json.dumps(canonical(schema), separators=(",", ":")).encode())


def test_the_second_implementation_agrees_with_published_fingerprints() -> None:
    assert crc64(b"") == EMPTY
    assert crc64(b'"null"') == 0x63DD24E7CC258F8A
    assert crc64(b'"boolean"') == 0x9F42FC78A4D4F764
    assert crc64(b'"int"') == 0x7275D51A3F395C8F
    assert crc64(b'"string"') == 0x8F014872634503C7


@pytest.mark.parametrize("schema", [*released(), *map(current, NAMES)], ids=lambda schema: schema["name"])
def test_every_schemas_fingerprint(schema: Any) -> None:
    assert fingerprint_of(schema) == independent_fingerprint(schema)


@pytest.mark.parametrize("name", NAMES)
def test_a_message_begins_with_the_fingerprint_in_little_endian(name: str) -> None:
    expected = b"\xc3\x01" + independent_fingerprint(current(name)).to_bytes(8, "little")
    assert Codec().encode(name, EXAMPLES[name]).startswith(expected)


def test_documentation_units_and_defaults_leave_the_fingerprint() -> None:
    schema = json.loads(json.dumps(current("Grant")))
    schema["doc"] = "other words"
    for field in schema["fields"]:
        field["doc"] = field["unit"] = "other words"
        field.pop("default", None)
    assert fingerprint_of(schema) == fingerprint_of(current("Grant"))
