"""The client's Avro and partitions are the pipeline's, to the byte."""

import pytest
from creditmeter_client.kafka.partitions import murmur2, partition_of
from creditmeter_client.kafka.schema_files import NotOurs, decode, encode
from creditmeter_client.kafka.sealing import key_id, seal_of
from creditmeter_client.usage import Usage, event_of, refund_of
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import Codec
from streams.log import partitioner, seals
from tests.client.scripted import NOW
from tests.schemas.records import LINE

pytestmark = pytest.mark.slow

CODEC = Codec()


def test_a_batch_of_events_reads_as_it_was_written() -> None:
    one = event_of(Usage("acme", "/v1/ip", ip="192.0.2.1", quantities={"n": 3}, attributes={"k": "ä"}), now=NOW)
    name, record = CODEC.decode(encode("RequestBatch", {"events": [dict(one.fields)]}))
    assert name == "RequestBatch"
    (event,) = record["events"]
    assert {field: value for field, value in event.items() if field in one.fields} == one.fields
    assert CODEC.encode("RequestBatch", record) == encode("RequestBatch", {"events": [dict(one.fields)]})


def test_a_refund_reads_as_it_was_written() -> None:
    refund = refund_of("acme", "e1", "why", now=NOW)
    name, record = CODEC.decode(encode("RefundRequest", dict(refund.fields)))
    assert (name, record["reason"], record["charge"], record["credits"]) == ("RefundRequest", "why", None, None)


def test_billed_batches_are_read() -> None:
    (value,) = CODEC.encode_parts("BilledBatch", 1, 70, [LINE])
    record = decode("BilledBatch", value)
    assert (record["source_offset"], record["events"]) == (70, CODEC.decode(value)[1]["events"])


@pytest.mark.parametrize(
    "damage", [lambda v: v[:-3], lambda v: v + b"x", lambda v: b"\xc3\x01" + bytes(8), lambda v: b""]
)
def test_damaged_bytes_are_named(damage: object) -> None:
    (value,) = CODEC.encode_parts("BilledBatch", 1, 70, [LINE])
    with pytest.raises(NotOurs):
        decode("BilledBatch", damage(value))  # type: ignore[operator]


@given(account=st.text(max_size=40).filter(lambda text: text.encode("utf-8", "ignore").decode() == text))
def test_partitions_are_the_pipelines(account: str) -> None:
    assert murmur2(account.encode()) == partitioner.murmur2(account.encode())
    assert partition_of(account, 8) == partitioner.partition_of(account, 8)


def test_seals_are_the_pipelines() -> None:
    assert seal_of(b"key", "credits.billed", 3, b"value") == seals.Sealer(b"key").seal("credits.billed", 3, b"value")
    assert key_id(b"key") == seals.key_id(b"key")
