"""Confluent's wire format, with a registry that answers over HTTP."""

import copy
from collections.abc import Iterator

import pytest

from schemas.batches import read_position
from schemas.catalog import BATCHES, NAMES, NAMESPACE, current
from schemas.codec import Codec
from schemas.errors import (
    DAMAGED,
    NOT_A_BATCH,
    UNKNOWN_ID,
    UNRESOLVABLE,
    RegistryUnavailable,
    Undecodable,
    UnknownSchemaId,
)
from schemas.registry import HttpRegistry
from tests.schemas.records import EVENT, EXAMPLES, fastavro_body
from tests.schemas.registry_server import RegistryServer, registry_server


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    with registry_server() as running:
        yield running


@pytest.fixture
def codec(server: RegistryServer) -> Codec:
    return Codec(HttpRegistry(server.url))


def detail_of(codec: Codec, message: bytes) -> str:
    with pytest.raises(Undecodable) as caught:
        codec.decode(message)
    return caught.value.detail


@pytest.mark.parametrize("name", NAMES)
def test_a_message_is_a_zero_the_id_and_the_body(server: RegistryServer, codec: Codec, name: str) -> None:
    message = codec.encode(name, EXAMPLES[name])
    (number,) = server.subjects[f"{NAMESPACE}.{name}"]
    assert message == b"\x00" + number.to_bytes(4, "big") + fastavro_body(current(name), EXAMPLES[name])
    assert codec.decode(message) == (name, EXAMPLES[name])


def test_both_framings_are_read_whatever_is_written(server: RegistryServer, codec: Codec) -> None:
    assert codec.decode(Codec().encode("Grant", EXAMPLES["Grant"])) == ("Grant", EXAMPLES["Grant"])
    assert server.asked == []


def test_the_registry_is_asked_once_for_each_schema(server: RegistryServer, codec: Codec) -> None:
    messages = [codec.encode("Grant", EXAMPLES["Grant"]) for _ in range(5)]
    for message in messages:
        codec.decode(message)
    grant = f"/subjects/{NAMESPACE}.Grant"
    assert server.asked == [f"POST {grant}", f"POST {grant}/versions", "GET /schemas/ids/100"]


def test_a_registered_schema_needs_no_right_to_register(server: RegistryServer, codec: Codec) -> None:
    first = codec.encode("Grant", EXAMPLES["Grant"])
    server.may_register = False
    second = Codec(HttpRegistry(server.url))
    assert second.encode("Grant", EXAMPLES["Grant"]) == first
    with pytest.raises(RegistryUnavailable, match=r"the id of creditmeter\.v1\.PriceBook and got 40301 User is denied"):
        second.encode("PriceBook", EXAMPLES["PriceBook"])


def test_another_writers_schema_is_resolved(server: RegistryServer, codec: Codec) -> None:
    writer = copy.deepcopy(current("RequestBatch"))
    writer["fields"][0]["type"]["items"]["fields"].append({"name": "region", "type": "string", "default": ""})
    number = server.add(writer)
    body = fastavro_body(writer, {"events": [{**EVENT, "region": "eu"}]})
    message = b"\x00" + number.to_bytes(4, "big") + body
    assert codec.decode_command(message) == ("request", EXAMPLES["RequestBatch"])


def test_an_unknown_id_will_never_work_but_is_asked_again(server: RegistryServer, codec: Codec) -> None:
    message = b"\x00\x00\x00\x00\x64" + fastavro_body(current("Grant"), EXAMPLES["Grant"])
    assert detail_of(codec, message) == UNKNOWN_ID
    server.add(current("Grant"))  # a registry's follower caught up
    assert codec.decode(message) == ("Grant", EXAMPLES["Grant"])


@pytest.mark.parametrize(
    ("schema", "properties"),
    [
        ('"long"', {}),
        ("no JSON", {}),
        ({"type": "record", "name": "Stranger", "fields": []}, {}),
        ({"type": "record", "name": "Grant", "fields": [{"name": "x", "type": "long"}]}, {}),
        ({"type": "record", "name": "Grant", "fields": [{"name": "x", "type": "Nowhere"}]}, {}),
        ('syntax = "proto3";', {"schemaType": "PROTOBUF"}),
        (current("Grant"), {"references": [{"name": "other", "subject": "s", "version": 1}]}),
    ],
)
def test_a_schema_that_cannot_become_ours(
    server: RegistryServer, codec: Codec, schema: object, properties: dict[str, object]
) -> None:
    message = b"\x00" + server.add(schema, **properties).to_bytes(4, "big") + b"body"
    assert detail_of(codec, message) == UNRESOLVABLE


def test_a_damaged_body_and_a_cut_message(server: RegistryServer, codec: Codec) -> None:
    message = codec.encode("Grant", EXAMPLES["Grant"])
    for length in range(1, len(message)):
        assert detail_of(codec, message[:length]) == DAMAGED
    assert detail_of(codec, message + b"\x00") == DAMAGED


@pytest.mark.parametrize("name", BATCHES)
def test_parts_and_positions(codec: Codec, name: str) -> None:
    items = EXAMPLES[name][BATCHES[name]] * 10
    limit = 600
    messages = codec.encode_parts(name, 3, 70_000, items, limit)
    plain = Codec().encode_parts(name, 3, 70_000, items, limit)
    assert [message[5:] for message in messages] == [message[10:] for message in plain]
    assert [codec.read_position(message) for message in messages] == [(70_000, part) for part in range(len(messages))]
    assert [read_position(message) for message in messages] == [(70_000, part) for part in range(len(messages))]


def test_a_command_has_no_position(codec: Codec) -> None:
    with pytest.raises(Undecodable) as caught:
        codec.read_position(codec.encode("AccountUpdate", EXAMPLES["AccountUpdate"]))
    assert caught.value.detail == NOT_A_BATCH


def test_basic_authentication(server: RegistryServer) -> None:
    server.credentials = "meter:s3cret"
    assert HttpRegistry(server.url + "/", "meter", "s3cret").id_of("s", current("Grant")) == 100
    with pytest.raises(RegistryUnavailable, match="got 401 Unauthorized; check its address and credentials") as caught:
        HttpRegistry(server.url, "meter", "wr0ng").schema_of(100)
    assert "wr0ng" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (500, b'{"error_code": 50001, "message": "Error in the backend data store"}', "got 50001 Error in the backend"),
        (503, b"<html>no upstream</html>", "got 503; check"),
        (404, b"<html>not here</html>", "got 404; check"),
        (404, b'{"error_code": 404, "message": "HTTP 404 Not Found"}', "got 404 HTTP 404 Not Found"),
        (429, b"", "got 429; check"),
        (302, b"", "got 302; check"),
        (200, b"<html>log in</html>", "got 200; check"),
        (200, b"[1]", "got 200; check"),
        (200, b'{"schema": 5}', "got 200; check"),
    ],
)
def test_any_other_answer_says_nothing_about_the_message(
    server: RegistryServer, codec: Codec, status: int, body: bytes, said: str
) -> None:
    server.add(current("Grant"))
    server.fault = lambda: (status, body)
    message = b"\x00\x00\x00\x00\x64" + fastavro_body(current("Grant"), EXAMPLES["Grant"])
    with pytest.raises(RegistryUnavailable, match=said):
        codec.decode(message)
    server.fault = None
    assert codec.decode(message) == ("Grant", EXAMPLES["Grant"])


def test_an_unreachable_registry_says_where_it_was_looked_for() -> None:
    with registry_server() as gone:
        url = gone.url
    registry = HttpRegistry(url, timeout=2)
    with pytest.raises(RegistryUnavailable, match=f"schema registry at {url} cannot be reached: .*refused"):
        registry.schema_of(1)
    with pytest.raises(RegistryUnavailable):
        Codec(registry).encode("Grant", EXAMPLES["Grant"])


def test_the_client_tells_an_unknown_id_apart(server: RegistryServer) -> None:
    with pytest.raises(UnknownSchemaId, match="no schema 7"):
        HttpRegistry(server.url).schema_of(7)


@pytest.mark.parametrize("url", ["", "localhost:8081", "ftp://host", "file:///etc/passwd", "http://"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="must begin with http"):
        HttpRegistry(url)


def test_credentials_within_the_address_are_refused_without_repeating_them() -> None:
    with pytest.raises(ValueError, match="by themselves") as caught:
        HttpRegistry("http://meter:s3cret@host")
    assert "s3cret" not in str(caught.value)
