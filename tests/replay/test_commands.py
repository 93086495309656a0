"""The commands of a message, as a replay takes them."""

from replay.commands import commands_of
from schemas.codec import Codec
from streams.log.protocols import Message
from tests.streams.traffic import BOOK, book_command, event

CODEC = Codec()


def message(value: bytes) -> Message:
    return Message(0, 5, 1_000, value, None)


def test_a_batch_gives_each_event_with_its_index_and_digest() -> None:
    batch = {"events": [event("one", "acme"), event("two", "other")]}
    commands = list(commands_of(CODEC, message(CODEC.encode("RequestBatch", batch))))
    assert [(command.index, command.record["event_id"]) for command in commands] == [(0, "one"), (1, "two")]
    assert [command.is_for("acme") for command in commands] == [True, False]
    assert len({command.digest for command in commands}) == 2


def test_a_command_alone_has_no_index_and_a_book_is_for_every_account() -> None:
    (command,) = commands_of(CODEC, message(CODEC.encode("PriceBook", book_command(BOOK, 1_000))))
    assert command.index is None
    assert command.is_for("anybody")


def test_what_cannot_be_decoded_is_of_no_account() -> None:
    assert list(commands_of(CODEC, message(b"noise"))) == []
