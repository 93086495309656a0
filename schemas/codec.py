"""Encodes and decodes the Kafka messages of every topic: the one place that knows how a record looks as bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple, Protocol

from schemas import batches, wire
from schemas.catalog import (
    BATCHES,
    COMMANDS,
    NAMES,
    NAMESPACE,
    Schema,
    current,
    expanded,
    fingerprint_of,
    released,
    short_name,
)
from schemas.errors import (
    DAMAGED,
    NO_REGISTRY,
    NOT_A_BATCH,
    NOT_A_COMMAND,
    UNKNOWN_FINGERPRINT,
    UNKNOWN_ID,
    UNRESOLVABLE,
    IncompatibleSchemas,
    Undecodable,
    UnknownSchemaId,
)
from schemas.reading import MAX_EVENTS, Reader, compile_reader
from schemas.resolution import Adapter, adapter
from schemas.writing import Writer, compile_writer

Record = dict[str, Any]


class Registry(Protocol):
    """A schema registry. Both methods raise `RegistryUnavailable` while it cannot be asked."""

    def schema_of(self, schema_id: int) -> Schema:
        """The schema of this id. Raises `UnknownSchemaId` when the registry answers that there is none."""

    def id_of(self, subject: str, schema: Schema) -> int:
        """The id of this schema under this subject, registering it where it is new."""


class _Known(NamedTuple):
    """How to read the messages of one writer's schema."""

    name: str
    read: Reader
    adapt: Adapter | None


class Codec:
    """Reads both framings, whatever it writes: Confluent's where a registry is given, else single-object encoding.

    Every released version of the schemas can be read; ``also_read`` adds further writers' schemas, and a registry
    those that it holds. Records of another version are resolved to the current one.
    """

    def __init__(self, registry: Registry | None = None, also_read: Iterable[Schema] = ()) -> None:
        self._registry = registry
        self._headers: dict[str, bytes] = {}
        self._by_header = dict(_released_readers())
        for schema in also_read:
            self._by_header[wire.single_object_header(fingerprint_of(schema))] = _known(schema)

    def encode(self, name: str, record: Mapping[str, Any]) -> bytes:
        """The message of one record, such as ``encode("Grant", {...})``. Absent fields get their defaults.

        Raises `Unencodable` with the field's path, and `RegistryUnavailable`.
        """
        return self._header(name) + _writer(name)(record)

    def name_of(self, data: bytes) -> str:
        """The name of the message's record, from its framing alone. Raises as `decode`."""
        return (self._by_header.get(data[: wire.SINGLE_OBJECT_LENGTH]) or self._find(data)[0]).name

    def decode(self, data: bytes | None) -> tuple[str, Record]:
        """The record's name and the record, in the current version's fields.

        Raises `Undecodable` for what will never be a record, and `RegistryUnavailable` for what cannot be known now.
        """
        if data is None:
            data = b""
        known, start = self._by_header.get(data[: wire.SINGLE_OBJECT_LENGTH]), wire.SINGLE_OBJECT_LENGTH
        if known is None:
            known, start = self._find(data)
        record = known.read(data, start)
        if known.adapt is not None:
            try:
                record = known.adapt(record)
            except UnicodeDecodeError:
                raise Undecodable(DAMAGED) from None
        return known.name, record

    def decode_command(self, data: bytes | None) -> tuple[str, Record]:
        """The command's word (request, refund, grant, account, price_book) and its record, a RequestBatch for request.

        Raises as `decode`, and `Undecodable` for a record that is no command.
        """
        name, record = self.decode(data)
        if name not in COMMANDS:
            raise Undecodable(NOT_A_COMMAND)
        return COMMANDS[name], record

    def encode_event_alone(self, event: Mapping[str, Any]) -> bytes:
        """A RequestBatch of one event, as a dead letter keeps it and a replay sends it. Raises as `encode`."""
        return self.encode("RequestBatch", {"events": [event]})

    def encode_parts(
        self,
        name: str,
        source_partition: int,
        source_offset: int,
        items: list[Record],
        limit: int = batches.PART_LIMIT,
    ) -> list[bytes]:
        """The messages of what one input message caused in a topic: one, or several where it would pass ``limit``.

        The same items give the same parts for ever, in either framing. An item above the limit goes alone in its
        part; no items give no message. Raises as `encode`.
        """
        if not items:
            return []
        head = {"source_partition": source_partition, "source_offset": source_offset, "part": 0, "parts": 1}
        header, write = self._header(name), _writer(name)
        body = write({**head, BATCHES[name]: items})
        if len(body) + wire.SINGLE_OBJECT_LENGTH <= limit or len(items) == 1:
            return [header + body]
        write_item = _item_writer(name)
        ranges = list(batches.split([len(write_item(item)) for item in items], limit))
        return [
            header + write({**head, "part": part, "parts": len(ranges), BATCHES[name]: items[first:stop]})
            for part, (first, stop) in enumerate(ranges)
        ]

    def read_position(self, data: bytes) -> tuple[int, int]:
        """(source_offset, part) of an output batch, without decoding its items. Raises as `decode`."""
        position = batches.read_position(data)
        if data.startswith(wire.CONFLUENT) and self._find(data)[0].name not in BATCHES:
            raise Undecodable(NOT_A_BATCH)
        return position

    def _header(self, name: str) -> bytes:
        header = self._headers.get(name)
        if header is None:
            schema = current(name)
            if self._registry is None:
                header = wire.single_object_header(fingerprint_of(schema))
            else:
                header = wire.confluent_header(self._registry.id_of(f"{NAMESPACE}.{name}", schema))
            self._headers[name] = header
        return header

    def _find(self, data: bytes) -> tuple[_Known, int]:
        """How to read a message whose first ten bytes are not those of a known schema, and where its body begins."""
        start = wire.frame_length(data)
        if start == wire.SINGLE_OBJECT_LENGTH:
            raise Undecodable(UNKNOWN_FINGERPRINT)
        header = data[:start]
        known = self._by_header.get(header)
        if known is None:
            known = self._by_header[header] = self._ask(int.from_bytes(header[1:], "big"))
        return known, start

    def _ask(self, schema_id: int) -> _Known:
        if self._registry is None:
            raise Undecodable(NO_REGISTRY)
        try:
            # An unknown id is asked for again next time: a registry's follower may be behind its leader.
            return _known(self._registry.schema_of(schema_id))
        except UnknownSchemaId:
            raise Undecodable(UNKNOWN_ID) from None
        except IncompatibleSchemas:
            raise Undecodable(UNRESOLVABLE) from None


def _known(schema: Schema) -> _Known:
    """Raises `IncompatibleSchemas` for a schema whose records cannot become one of ours."""
    written = expanded(schema)
    name = short_name(written)
    if name not in NAMES:
        raise IncompatibleSchemas(f"{name} is no record of creditmeter")
    bounded = {"events": MAX_EVENTS} if name == "RequestBatch" else {}
    return _Known(name, compile_reader(written, bounded), adapter(written, current(name)))


@cache
def _released_readers() -> dict[bytes, _Known]:
    schemas = [*released(), *(current(name) for name in NAMES)]
    return {wire.single_object_header(fingerprint_of(schema)): _known(schema) for schema in schemas}


@cache
def _writer(name: str) -> Writer:
    return compile_writer(current(name))


@cache
def _item_writer(name: str) -> Writer:
    """The encoder of one item of a batch."""
    (items,) = (field["type"]["items"] for field in expanded(current(name))["fields"] if field["name"] == BATCHES[name])
    return compile_writer(items)
