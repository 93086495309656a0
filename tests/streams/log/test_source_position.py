"""Where an output comes from, and that a stray record comes from nowhere."""

import pytest

from schemas.codec import Codec
from streams.log.protocols import Message
from streams.log.source_position import NO_OUTPUT, source_position
from tests.schemas.records import EXAMPLES


def test_the_position_of_every_kind_of_output() -> None:
    codec = Codec()
    # What a deliverer has read stands in a topic of its own, and is no output of the worker.
    batches = {
        name: record for name, record in EXAMPLES.items() if "source_offset" in record and name != "DeliveryPosition"
    }
    assert len(batches) > 3
    for name, record in batches.items():
        message = Message(0, 9, 0, codec.encode(name, record), None)
        assert source_position(message) == (record["source_offset"], record["part"]), name


@pytest.mark.parametrize("value", [b"", b"noise", b"\xff" * 40])
def test_a_stray_record_comes_before_every_output(value: bytes) -> None:
    assert source_position(Message(0, 9, 0, value, None)) == NO_OUTPUT < (0, 0)
