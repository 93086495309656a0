"""Which partition an account is in: Kafka's murmur2, as the Java client hashes a key (docs/producers.md)."""

from __future__ import annotations

from functools import lru_cache

_BITS = 0xFFFFFFFF
_MULTIPLIER = 0x5BD1E995
_SEED = 0x9747B28C


def murmur2(data: bytes) -> int:
    """The 32-bit hash, unsigned."""
    value = _SEED ^ len(data)
    blocks, tail = divmod(len(data), 4)
    for block in range(blocks):
        word = int.from_bytes(data[block * 4 : block * 4 + 4], "little") * _MULTIPLIER & _BITS
        word = (word ^ word >> 24) * _MULTIPLIER & _BITS
        value = (value * _MULTIPLIER & _BITS) ^ word
    if tail:
        value = (value ^ int.from_bytes(data[-tail:], "little")) * _MULTIPLIER & _BITS
    value = (value ^ value >> 13) * _MULTIPLIER & _BITS
    return value ^ value >> 15


@lru_cache(maxsize=65_536)
def partition_of(account_id: str, partitions: int) -> int:
    """The partition of an account in a topic with that many."""
    return (murmur2(account_id.encode()) & 0x7FFFFFFF) % partitions
