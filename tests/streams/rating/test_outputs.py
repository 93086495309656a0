"""What an outbox takes for sent already: positions of records with the right seal, within the input log."""

from __future__ import annotations

import pytest

from schemas.batches import read_position
from streams.log.memory import MemoryBroker, MemoryOutputLog
from streams.log.protocols import LogChanged
from streams.log.seals import SEAL_HEADER, Era, Sealer
from streams.rating.outputs import Outbox
from tests.streams.rating.rated import CODEC, NAMES

KEY = b"the key of this pipeline"
END = 5
"""The end of the input log."""


class Place:
    """One partition of an output topic in which a stray record stands last, as the only one or behind ours."""

    def __init__(self, topic: str = NAMES.billed, *, unsealed: int = 0) -> None:
        """`unsealed`: how many records there were before the pipeline had seals."""
        self.broker = MemoryBroker()
        self.seals = Sealer(KEY, [Era({(topic, 0): unsealed}, None)])
        self.topic = topic

    def record(self, offset: int, seal: bytes | None = None) -> None:
        """A record that claims to come from the input offset; `seal` None: ours."""
        head = {"source_partition": 0, "source_offset": offset, "part": 0, "parts": 1}
        value = CODEC.encode("BilledBatch", {**head, "events": []})
        seal = self.seals.seal(self.topic, 0, value) if seal is None else seal
        self.broker.append(self.topic, 0, value, headers={SEAL_HEADER: seal} if seal else {})

    def sent(self) -> list[int]:
        """Which of five outputs an outbox sends that has just been made."""
        output = MemoryOutputLog(self.broker, read_position, seals=self.seals)
        outbox = Outbox(0, output, lambda: END)
        before = self.broker.bounds(self.topic, 0)[1]
        for offset in range(END):
            outbox.send(offset, [(self.topic, 0, b"output of %d" % offset)])
        output.wait()
        return [int(record.value[-1:]) for record in self.broker.records(self.topic, 0)[before:]]


@pytest.mark.parametrize("claimed", [0, 3, END - 1, END, END + 20, 2**60])
@pytest.mark.parametrize("seal", [b"", bytes(16), Sealer(b"another").seal(NAMES.billed, 0, b"")])
def test_a_stray_record_is_taken_for_nothing_whatever_it_claims(claimed: int, seal: bytes) -> None:
    first = Place()
    first.record(claimed, seal)
    assert first.sent() == [0, 1, 2, 3, 4]
    last = Place()
    last.record(2)
    last.record(claimed, seal)
    assert last.sent() == [3, 4], "what is ours is there up to offset 2"


def test_a_record_of_before_the_seals_counts_and_none_after_their_beginning() -> None:
    place = Place(unsealed=1)
    place.record(2, b"")
    place.record(2**60, b"")
    assert place.sent() == [3, 4]


@pytest.mark.parametrize("claimed", [END, 2**60])
def test_a_position_that_the_input_cannot_have_made_is_refused_and_each_reason_named(claimed: int) -> None:
    """One of before the seals may be a stranger's: to delete the outputs would lose what is right."""
    place = Place(unsealed=2)
    place.record(2, b"")
    place.record(claimed, b"")
    with pytest.raises(LogChanged) as refused:
        place.sent()
    said = str(refused.value)
    assert said.startswith(f"rated.billed[0] has outputs of input offset {claimed}, which the input log does not have")
    assert "from before the seals, somebody else wrote it" in said
    assert "restored to an earlier copy, or deleted and made again" in said
    assert "delete the outputs" not in said
    assert place.broker.bounds(place.topic, 0)[1] == 2, "nothing is sent"
