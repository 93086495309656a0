"""Encodes and decodes the Kafka messages of every topic; no other module knows how a record looks as bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple, Protocol

from schemas import batches, wire
from schemas.catalog import (
    ANSWERS,
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
from schemas.column_plans import ColumnPlan, Gathered, column_plan
from schemas.compiling import compile_digesting_reader, compile_reader, compile_slicing_reader, compile_writer
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
from schemas.reading import (
    MAX_EVENTS,
    DigestingReader,
    Reader,
    SlicingReader,
    digest_of,
)
from schemas.resolution import Adapter, adapter
from schemas.writing import Writer

Record = dict[str, Any]


class Registry(Protocol):
    """A schema registry. Both methods raise `RegistryUnavailable` while it cannot be asked."""

    def schema_of(self, schema_id: int) -> Schema:
        """The schema of this id. Raises `UnknownSchemaId` when the registry answers that there is none."""

    def id_of(self, subject: str, schema: Schema) -> int:
        """The id of this schema under this subject, registering it where it is new."""


class Commands(NamedTuple):
    """The commands of one message: ``word`` (request, hold, refund, ...), and each record with its digest.

    A digest is 8 bytes of BLAKE2b of the record's bytes as they stand in the message, without framing.
    """

    word: str
    records: list[Record]
    digests: list[bytes]


class _Known(NamedTuple):
    """How to read the messages of one writer's schema. ``read_digests`` is there for a batch of commands.

    ``schema`` is the writer's, where it is another version than the current one.
    """

    name: str
    read: Reader
    adapt: Adapter | None
    read_digests: DigestingReader | None = None
    read_slices: SlicingReader | None = None
    schema: Schema | None = None
    columns: ColumnPlan | None = None


class Codec:
    """Reads both framings. Writes Confluent's where a registry is given, else single-object encoding.

    Every released version of the schemas can be read; ``also_read`` adds further writers' schemas, and a registry
    those that it holds. Records of another version are resolved to the current one.
    """

    def __init__(self, registry: Registry | None = None, also_read: Iterable[Schema] = ()) -> None:
        self._registry = registry
        self._headers: dict[str, bytes] = {}
        self._by_header: dict[bytes, _Known] = {}
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
        return known.name, _adapted(known, known.read(data, start))

    def decode_commands(self, data: bytes | None) -> Commands:
        """The commands of a message of the input log, each with its digest: the events of a RequestBatch, or one other.

        Raises as `decode`, and `Undecodable` for a record that is no command.
        """
        if data is None:
            data = b""
        known, start = self._by_header.get(data[: wire.SINGLE_OBJECT_LENGTH]), wire.SINGLE_OBJECT_LENGTH
        if known is None:
            known, start = self._find(data)
        if known.read_digests is not None:
            record, digests = known.read_digests(data, start)
            return Commands(COMMANDS[known.name], _adapted(known, record)["events"], digests)
        record = _adapted(known, known.read(data, start))
        if known.name not in COMMANDS:
            raise Undecodable(NOT_A_COMMAND)
        return Commands(COMMANDS[known.name], [record], [digest_of(data[start:])])

    def decode_command(self, data: bytes | None) -> tuple[str, Record]:
        """The command's word (request, hold, refund, ...) and its record, a RequestBatch for request.

        Raises as `decode`, and `Undecodable` for a record that is no command.
        """
        name, record = self.decode(data)
        if name not in COMMANDS:
            raise Undecodable(NOT_A_COMMAND)
        return COMMANDS[name], record

    def encode_event_alone(self, event: Mapping[str, Any]) -> bytes:
        """A RequestBatch of one event, as a dead letter keeps it and a replay sends it. Raises as `encode`."""
        return self.encode("RequestBatch", {"events": [event]})

    def encode_event(self, event: Mapping[str, Any]) -> bytes:
        """One event as it stands within a RequestBatch, without framing. Raises as `encode`."""
        return _event_writer()(event)

    def join_events(self, events: Sequence[bytes]) -> bytes:
        """The message of a RequestBatch of these events, in order, each as `encode_event` gives it.

        The same bytes as `encode` gives for the batch. Raises `RegistryUnavailable`.
        """
        count = wire.write_long(len(events)) if events else b""
        return b"".join((self._header("RequestBatch"), count, *events, wire.END_OF_BLOCKS))

    def encode_parts(
        self,
        name: str,
        source_partition: int,
        source_offset: int,
        items: list[Record],
        limit: int = batches.PART_LIMIT,
        *,
        answers: Mapping[str, list[Record]] | None = None,
    ) -> list[bytes]:
        """The messages of what one input message caused in a topic: one, or several where it would pass ``limit``.

        The same items give the same parts for ever, in either framing. An item above the limit goes alone in its
        part; no items give no message. ``answers``, for a BilledBatch, are its further arrays by name (`ANSWERS`; an
        absent one is empty): they go behind the items, and then there is a message even where all are empty. Raises as
        `encode`.
        """
        if not items and answers is None:
            return []
        head = {"source_partition": source_partition, "source_offset": source_offset, "part": 0, "parts": 1}
        header, write = self._header(name), _writer(name)
        arrays = {BATCHES[name]: items}
        if name == "BilledBatch":
            for array in ANSWERS:
                arrays[array] = answers.get(array, []) if answers is not None else []
        body = write({**head, **arrays})
        if len(body) + wire.SINGLE_OBJECT_LENGTH <= limit or sum(map(len, arrays.values())) <= 1:
            return [header + body]
        encoded = {array: self.encode_items(name, array, some) for array, some in arrays.items()}
        return list(self.join_parts(name, source_partition, source_offset, encoded, limit))

    def encode_items(self, name: str, array: str, items: list[Record]) -> list[bytes]:
        """Items of one of a batch's arrays, each encoded for itself, for `join_parts`. Raises as `encode`."""
        write = _item_writers(name)[array]
        return [write(item) for item in items]

    def join_parts(
        self,
        name: str,
        source_partition: int,
        source_offset: int,
        encoded: Mapping[str, list[bytes]],
        limit: int = batches.PART_LIMIT,
    ) -> Iterator[bytes]:
        """The messages of `encode_parts`, byte for byte, from items that are encoded already.

        ``encoded``: by the name of each of the batch's arrays, what `encode_items` gave; an absent one is empty. For
        what is too much to be held as records at once. No items give one message without any.
        """
        header = self._header(name)
        arrays = {array: encoded.get(array, []) for array in _item_writers(name)}
        sizes = [len(item) for some in arrays.values() for item in some]
        whole = batches.body_size(source_partition, source_offset, arrays)
        if whole + wire.SINGLE_OBJECT_LENGTH <= limit or len(sizes) <= 1:
            ranges = [(0, len(sizes))]
        else:
            ranges = list(batches.split(sizes, limit))
        for part, (first, stop) in enumerate(ranges):
            head = batches.Position(source_partition, source_offset, part, len(ranges))
            yield header + batches.body(head, batches.cut(arrays, first, stop))

    def event_slices(self, data: bytes, size: int) -> Iterator[Commands] | None:
        """The events of a large batch with their digests, ``size`` at a time, as they are decoded.

        None where the message is something else, or written with a schema that has more than the events: then
        `decode_commands` reads it. Only the end of the iteration says that the whole message is good: until then it may
        raise `Undecodable`, and nothing of it may be applied. Raises `RegistryUnavailable`.
        """
        try:
            known, start = self._by_header.get(data[: wire.SINGLE_OBJECT_LENGTH]), wire.SINGLE_OBJECT_LENGTH
            if known is None:
                known, start = self._find(data)
        except Undecodable:
            return None
        if known.read_slices is None:
            return None
        return _commands_of(known, known.read_slices(data, start, size))

    def is_older(self, data: bytes) -> bool:
        """Whether a message was written with another version of its schema than this one writes. Raises as `decode`."""
        known = self._by_header.get(data[: wire.SINGLE_OBJECT_LENGTH]) or self._find(data)[0]
        return known.schema is not None

    def is_as_written_before(self, data: bytes, record: Record) -> bool:
        """Whether a message of an older version says what ``record`` says, in the fields that it knew.

        False for one of the current version. Raises as `decode`.
        """
        known, start = self._by_header.get(data[: wire.SINGLE_OBJECT_LENGTH]), wire.SINGLE_OBJECT_LENGTH
        if known is None:
            known, start = self._find(data)
        if known.schema is None:
            return False
        back = adapter(current(known.name), known.schema)
        return known.read(data, start) == (record if back is None else back(record))

    def read_position(self, data: bytes) -> tuple[int, int]:
        """(source_offset, part) of an output batch, without decoding its items. Raises as `decode`."""
        position = batches.read_position(data)
        if data.startswith(wire.CONFLUENT) and self._find(data)[0].name not in BATCHES:
            raise Undecodable(NOT_A_BATCH)
        return position

    def gather(self, data: bytes, gathered: Gathered, is_wanted: Callable[[batches.Position], bool]) -> None:
        """Adds an output batch's items, as `decode` gives them, to columns, where its position is wanted.

        Raises as `decode`, and `Undecodable` for what is no output batch; the columns are of no use then.
        """
        known, start = self._by_header.get(data[: wire.SINGLE_OBJECT_LENGTH]), wire.SINGLE_OBJECT_LENGTH
        if known is None:
            known, start = self._find(data)
        if known.name not in BATCHES:
            raise Undecodable(NOT_A_BATCH)
        if not is_wanted(batches.head_at(data, start)):
            return
        if known.columns is not None:
            gathered.reader(known.columns).read(data, start)
        else:
            gathered.others.setdefault(known.name, []).append(_adapted(known, known.read(data, start)))

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
        """How to read a message whose first ten bytes were not met before, and where its body begins."""
        start = wire.frame_length(data)
        header = data[:start]
        if start == wire.SINGLE_OBJECT_LENGTH:
            if header not in _released_schemas():
                raise Undecodable(UNKNOWN_FINGERPRINT)
            released_one = self._by_header[header] = _released_reader(header)
            return released_one, start
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
    other = None if fingerprint_of(schema) == fingerprint_of(current(name)) else written
    if name == "RequestBatch":
        return _Known(
            name,
            compile_reader(written, _BOUNDED),
            adapter(written, current(name)),
            compile_digesting_reader(written, _BOUNDED),
            compile_slicing_reader(written, _BOUNDED),
            other,
        )
    adapt = adapter(written, current(name))
    return _Known(name, compile_reader(written), adapt, schema=other, columns=column_plan(written))


_BOUNDED = {"events": MAX_EVENTS}


def _adapted(known: _Known, record: Record) -> Record:
    """A decoded record in the current version's fields. Raises `Undecodable`."""
    if known.adapt is None:
        return record
    try:
        adapted: Record = known.adapt(record)
    except UnicodeDecodeError:
        raise Undecodable(DAMAGED) from None
    return adapted


def _commands_of(known: _Known, slices: Iterable[tuple[list[Record], list[bytes]]]) -> Iterator[Commands]:
    for events, digests in slices:
        yield Commands(COMMANDS[known.name], _adapted(known, {"events": events})["events"], digests)


@cache
def _released_schemas() -> dict[bytes, Schema]:
    """By framing. A reader is made when the first message with it comes: a process meets few of them."""
    schemas = [*released(), *(current(name) for name in NAMES)]
    return {wire.single_object_header(fingerprint_of(schema)): schema for schema in schemas}


@cache
def _released_reader(header: bytes) -> _Known:
    return _known(_released_schemas()[header])


@cache
def _writer(name: str) -> Writer:
    return compile_writer(current(name))


@cache
def _event_writer() -> Writer:
    """The encoder of one item of a RequestBatch, as strict as that of the whole: its items come from outside."""
    fields = {field["name"]: field["type"] for field in expanded(current("RequestBatch"))["fields"]}
    return compile_writer(fields["events"]["items"])


@cache
def _item_writers(name: str) -> dict[str, Writer]:
    """The encoder of one item of each of a batch's arrays."""
    arrays = (BATCHES[name], *ANSWERS) if name == "BilledBatch" else (BATCHES[name],)
    fields = {field["name"]: field["type"] for field in expanded(current(name))["fields"]}
    return {array: compile_writer(fields[array]["items"]) for array in arrays}
