"""The Avro schemas of creditmeter's records. A wheel carries copies; a checkout reads them where they are."""

from __future__ import annotations

import io
import json
from functools import cache
from pathlib import Path
from typing import Any

import fastavro

SINGLE_OBJECT = b"\xc3\x01"
HEADER_LENGTH = 10

_COPIES = Path(__file__).parent / "schemas"
_SOURCE = Path(__file__).parents[3] / "schemas"


class NotOurs(ValueError):
    """The bytes are no record of the expected kind; the message says why."""


def folder() -> Path:
    """Where the schema files are: `<Name>.avsc`, and every released version in `history/`."""
    return _COPIES if (_COPIES / "RequestBatch.avsc").exists() else _SOURCE


@cache
def writer(name: str) -> tuple[bytes, Any]:
    """The first ten bytes of a record of this name, and its schema parsed."""
    schema = json.loads((folder() / f"{name}.avsc").read_text("utf-8"))
    return _header(schema), fastavro.parse_schema(schema)


@cache
def readers(name: str) -> dict[bytes, Any]:
    """Every released schema of this name, by the first ten bytes of its records."""
    schemas = [json.loads(path.read_text("utf-8")) for path in (folder() / "history").glob(f"{name}.*.avsc")]
    return {_header(schema): fastavro.parse_schema(schema) for schema in schemas}


def encode(name: str, record: dict[str, Any]) -> bytes:
    """A record in Avro's single-object encoding."""
    header, schema = writer(name)
    out = io.BytesIO()
    out.write(header)
    fastavro.schemaless_writer(out, schema, record)
    return out.getvalue()


def decode(name: str, data: bytes) -> dict[str, Any]:
    """A record that any released version wrote, as this version reads it. Raises NotOurs.

    A schema registry's framing is not read here.
    """
    written = readers(name).get(data[:HEADER_LENGTH])
    if written is None:
        raise NotOurs(f"no {name} of a version that is known here: upgrade creditmeter-client")
    stream = io.BytesIO(data[HEADER_LENGTH:])
    try:
        record = fastavro.schemaless_reader(stream, written, writer(name)[1])
    except Exception as error:  # fastavro raises what its buffers raise
        raise NotOurs(f"a damaged {name}: {error!r}") from error
    if not isinstance(record, dict) or stream.read(1):
        raise NotOurs(f"a damaged {name}: bytes are left")
    return record


def _header(schema: dict[str, Any]) -> bytes:
    canonical = fastavro.schema.to_parsing_canonical_form(schema)
    return SINGLE_OBJECT + bytes.fromhex(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO"))
