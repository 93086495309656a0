"""Hostile and damaged messages are refused at once, with a fixed text, whatever they claim."""

import time
import tracemalloc

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.catalog import NAMES, current, fingerprint_of
from schemas.codec import Codec
from schemas.errors import (
    DAMAGED,
    EMPTY,
    FOREIGN,
    NO_REGISTRY,
    TOO_MANY_EVENTS,
    UNKNOWN_FINGERPRINT,
    Undecodable,
)
from schemas.wire import single_object_header, varint, write_long
from tests.schemas.records import EXAMPLES
from tests.sizes import examples

CODEC = Codec()
HEADER = {name: single_object_header(fingerprint_of(current(name))) for name in NAMES}
EVENTS = HEADER["RequestBatch"]
TEXTS = {EMPTY, FOREIGN, UNKNOWN_FINGERPRINT, NO_REGISTRY, DAMAGED, TOO_MANY_EVENTS}


def detail_of(message: bytes | None) -> str:
    with pytest.raises(Undecodable) as caught:
        CODEC.decode(message)
    assert caught.value.args == (caught.value.detail,)
    return caught.value.detail


def outcome_of(message: bytes) -> str:
    """The record's name, or why there is none."""
    try:
        return CODEC.decode(message)[0]
    except Undecodable as refused:
        return refused.detail


@pytest.mark.parametrize(
    ("message", "detail"),
    [
        (None, EMPTY),
        (b"", EMPTY),
        (b"{}", FOREIGN),
        (b'{"event_id": "evt-1"}', FOREIGN),
        (b"\xc3\x02" + bytes(20), FOREIGN),
        (b"\xc3", DAMAGED),
        (b"\xc3\x01", DAMAGED),
        (EVENTS[:9], DAMAGED),
        (EVENTS, DAMAGED),
        (b"\xc3\x01" + bytes(8), UNKNOWN_FINGERPRINT),
        (b"\xc3\x01" + bytes(8) + b"body", UNKNOWN_FINGERPRINT),
        (b"\x00", DAMAGED),
        (b"\x00\x00\x00\x01", DAMAGED),
        (b"\x00\x00\x00\x00\x01", NO_REGISTRY),
        (b"\x00\x00\x00\x00\x01body", NO_REGISTRY),
    ],
)
def test_the_text_for_each_kind_of_message(message: bytes | None, detail: str) -> None:
    assert detail_of(message) == detail


STRING = write_long(1) + b"a"
EVENT_TO_OUTCOME = write_long(1) + STRING * 2 + write_long(5) + STRING * 2
GRANT_TO_EXPIRY = STRING * 3 + write_long(5) + write_long(5)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        pytest.param("RequestBatch", write_long(1) + write_long(10**18) + b"a", id="a text of 10^18 bytes"),
        pytest.param("RequestBatch", write_long(1) + write_long(2**63 - 1) + b"a", id="a text of 2^63-1 bytes"),
        pytest.param("RequestBatch", write_long(1) + write_long(-1) + b"a", id="a text of -1 bytes"),
        pytest.param("RequestBatch", write_long(1) + write_long(-(2**63)), id="a text of -2^63 bytes"),
        pytest.param("RequestBatch", write_long(1) + write_long(2) + b"\xc3\x28", id="bad UTF-8"),
        pytest.param("RequestBatch", write_long(1) + write_long(3) + b"\xed\xa0\x80", id="half of a surrogate pair"),
        pytest.param("RequestBatch", write_long(1) + write_long(2) + b"\xc0\x80", id="over-long UTF-8"),
        pytest.param("RequestBatch", b"\xff" * 12, id="a count that does not end"),
        pytest.param("RequestBatch", b"\xff" * 9 + b"\x02", id="a count of 65 bits"),
        pytest.param("RequestBatch", b"\x80" * 10 + b"\x00", id="a count of ten empty bytes and one"),
        pytest.param("RequestBatch", b"\x80", id="a cut count"),
        pytest.param("RequestBatch", b"\x00\x00", id="a byte too many"),
        pytest.param("RequestBatch", b"\x02", id="a missing event"),
        pytest.param("RequestBatch", EVENT_TO_OUTCOME + write_long(7), id="an enum index too high"),
        pytest.param("RequestBatch", EVENT_TO_OUTCOME + write_long(-1), id="a negative enum index"),
        pytest.param("Grant", GRANT_TO_EXPIRY + write_long(2) + b"\x00" * 2, id="a union index too high"),
        pytest.param("Grant", GRANT_TO_EXPIRY + write_long(-1) + b"\x00" * 2, id="a negative union index"),
        pytest.param("BilledBatch", write_long(2**31) + write_long(0) * 4, id="an int of 33 bits"),
        pytest.param("AccountUpdate", STRING * 2 + b"\x00\x00" + write_long(10**18), id="10^18 marks"),
    ],
)
def test_what_a_body_claims_costs_neither_time_nor_memory(name: str, body: bytes) -> None:
    tracemalloc.start()
    begun = time.perf_counter()
    assert detail_of(HEADER[name] + body) == DAMAGED
    took = time.perf_counter() - begun
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert took < 1
    assert peak < 1_000_000


@pytest.mark.parametrize("name", NAMES)
def test_a_message_cut_anywhere_or_longer_is_refused(name: str) -> None:
    message = CODEC.encode(name, EXAMPLES[name])
    for length in range(10, len(message)):
        assert detail_of(message[:length]) == DAMAGED
    assert detail_of(message + b"\x00") == DAMAGED


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=examples(200))
@given(body=st.binary(max_size=120))
@example(body=varint(2**64 - 1) * 3)
def test_any_body_decodes_or_is_refused_in_the_fixed_words(name: str, body: bytes) -> None:
    assert outcome_of(HEADER[name] + body) in {name, DAMAGED, TOO_MANY_EVENTS}


@given(message=st.binary(max_size=40) | st.binary(max_size=40).map(lambda rest: b"\xc3\x01" + rest))
def test_any_bytes_decode_or_are_refused_in_the_fixed_words(message: bytes) -> None:
    assert outcome_of(message) in {*NAMES, *TEXTS}


@pytest.mark.slow
def test_memory_grows_with_what_a_message_holds() -> None:
    smallest = write_long(0) * 16
    count = 20_000
    message = EVENTS + write_long(count) + smallest * count + b"\x00"
    tracemalloc.start()
    _, batch = CODEC.decode(message)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(batch["events"]) == count
    assert peak < count * 1_000


def batch_of(blocks: list[int], event: bytes) -> bytes:
    """A RequestBatch of equal events in blocks of so many; a negative number is a block that tells its bytes."""
    parts = [
        write_long(count) + (write_long(-count * len(event)) if count < 0 else b"") + event * abs(count)
        for count in blocks
    ]
    return b"".join([EVENTS, *parts, bytes(1)])


@pytest.mark.parametrize("blocks", [[10**18], [-(2**63)], [1_100_000], [-1_100_000], [50_001]])
def test_a_batch_above_the_bound_is_refused_before_any_event_is_decoded(blocks: list[int]) -> None:
    event = one_event()
    count = blocks[0]
    message = batch_of(blocks, event) if abs(count) < 10**9 else EVENTS + write_long(count) + write_long(0) + event
    tracemalloc.start()
    try:
        assert detail_of(message) == TOO_MANY_EVENTS
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.parametrize("blocks", [[50_000, 1], [-25_000, 25_001], [1] * 50_001])
def test_blocks_are_added_up(blocks: list[int]) -> None:
    assert detail_of(batch_of(blocks, one_event())) == TOO_MANY_EVENTS


@pytest.mark.parametrize("blocks", [[50_000], [-50_000], [20_000, -30_000]])
def test_a_batch_at_the_bound_is_read(blocks: list[int]) -> None:
    _, record = CODEC.decode(batch_of(blocks, one_event()))
    assert len(record["events"]) == 50_000


def one_event() -> bytes:
    """The bytes of the smallest event within a batch."""
    least = EXAMPLES["RequestBatch"]["events"][0] | {
        **dict.fromkeys(("event_id", "account_id", "endpoint", "channel"), ""),
        **dict.fromkeys(("request_id", "actor", "user_id", "ip", "domain", "plan"), None),
        "occurred_at": 0, "quantities": {}, "attributes": {},
    }  # fmt: skip
    return CODEC.encode("RequestBatch", {"events": [least]})[len(EVENTS) + 1 : -1]
