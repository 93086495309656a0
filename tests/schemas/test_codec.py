"""Commands and outputs by name, in the single-object framing."""

from hashlib import blake2b

import pytest

from schemas.catalog import BATCHES, COMMANDS
from schemas.codec import Codec
from schemas.errors import NOT_A_COMMAND, IncompatibleSchemas, Undecodable
from tests.schemas.records import EVENT, EXAMPLES
from tests.schemas.test_golden import FIRST_VERSIONS, GOLDEN


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("RequestBatch", "request"),
        ("Hold", "hold"),
        ("RefundRequest", "refund"),
        ("Grant", "grant"),
        ("AccountUpdate", "account"),
        ("PriceBook", "price_book"),
    ],
)
def test_each_command_record_has_its_word(name: str, command: str) -> None:
    assert COMMANDS[name] == command
    assert Codec().decode_command(Codec().encode(name, EXAMPLES[name])) == (command, EXAMPLES[name])


@pytest.mark.parametrize("name", BATCHES)
def test_an_output_in_the_input_topic_is_no_command(name: str) -> None:
    message = Codec().encode(name, EXAMPLES[name])
    assert Codec().decode(message) == (name, EXAMPLES[name])
    with pytest.raises(Undecodable) as caught:
        Codec().decode_command(message)
    assert caught.value.detail == NOT_A_COMMAND
    with pytest.raises(Undecodable) as caught:
        Codec().decode_commands(message)
    assert caught.value.detail == NOT_A_COMMAND


def test_commands_come_with_the_digest_of_their_own_bytes() -> None:
    first, second = EVENT, {**EVENT, "event_id": "evt-2", "attributes": {}}
    message = Codec().encode("RequestBatch", {"events": [first, second, first]})
    word, events, digests = Codec().decode_commands(message)
    assert (word, events) == ("request", [first, second, first])
    alone = [Codec().encode_event_alone(event) for event in events]
    # A batch of one: framing, the number of events, the event, the end of the array.
    assert digests == [blake2b(message[11:-1], digest_size=8).digest() for message in alone]
    assert digests[0] == digests[2] != digests[1]
    assert [Codec().decode_commands(message).digests for message in alone] == [[message] for message in digests]


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "RequestBatch"])
def test_another_command_comes_alone_with_the_digest_of_its_body(name: str) -> None:
    message = Codec().encode(name, EXAMPLES[name])
    digest = blake2b(message[10:], digest_size=8).digest()
    assert Codec().decode_commands(message) == (COMMANDS[name], [EXAMPLES[name]], [digest])


def test_commands_of_the_version_before_have_the_digest_of_what_is_stored() -> None:
    message = bytes.fromhex(FIRST_VERSIONS["RequestBatch"])
    _, (event,), (digest,) = Codec().decode_commands(message)
    assert event == EVENT | {"hold_id": None, "keeps_hold": False}
    assert digest == blake2b(message[11:-1], digest_size=8).digest()


@pytest.mark.parametrize("data", [None, b"", b"text", bytes.fromhex(GOLDEN["RequestBatch"])[:-1]])
def test_what_holds_no_commands_is_refused_as_by_decode(data: bytes | None) -> None:
    with pytest.raises(Undecodable) as caught:
        Codec().decode_commands(data)
    with pytest.raises(Undecodable) as wanted:
        Codec().decode(data)
    assert caught.value.detail == wanted.value.detail


def test_an_event_alone_is_a_batch_of_one() -> None:
    _, batch = Codec().decode(Codec().encode("RequestBatch", {"events": [EVENT, {**EVENT, "event_id": "evt-2"}]}))
    alone = Codec().encode_event_alone(batch["events"][1])
    assert Codec().decode_command(alone) == ("request", {"events": [{**EVENT, "event_id": "evt-2"}]})


def test_a_writers_schema_of_another_record_is_refused() -> None:
    with pytest.raises(IncompatibleSchemas, match="Stranger is no record of creditmeter"):
        Codec(also_read=[{"type": "record", "name": "Stranger", "fields": []}])
