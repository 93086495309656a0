"""Commands and outputs by name, in the single-object framing."""

import pytest

from schemas.catalog import BATCHES, COMMANDS
from schemas.codec import Codec
from schemas.errors import NOT_A_COMMAND, IncompatibleSchemas, Undecodable
from tests.schemas.records import EVENT, EXAMPLES


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("RequestBatch", "request"),
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


def test_an_event_alone_is_a_batch_of_one() -> None:
    _, batch = Codec().decode(Codec().encode("RequestBatch", {"events": [EVENT, {**EVENT, "event_id": "evt-2"}]}))
    alone = Codec().encode_event_alone(batch["events"][1])
    assert Codec().decode_command(alone) == ("request", {"events": [{**EVENT, "event_id": "evt-2"}]})


def test_a_writers_schema_of_another_record_is_refused() -> None:
    with pytest.raises(IncompatibleSchemas, match="Stranger is no record of creditmeter"):
        Codec(also_read=[{"type": "record", "name": "Stranger", "fields": []}])
