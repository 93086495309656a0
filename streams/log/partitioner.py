"""Which partition an account's log is in: Kafka's murmur2.

The same as the Java client's default for a record with a key, and as librdkafka's `partitioner=murmur2_random`.

The partition is part of what is promised (one ordered log for each account), so this never changes.
"""

from __future__ import annotations

from functools import lru_cache

_M = 0x5BD1E995
_SEED = 0x9747B28C
_32 = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """The 32-bit hash, unsigned: Java's result as the same bits."""
    length = len(data)
    h = _SEED ^ length
    whole = length & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * _M & _32
        h = (h * _M & _32) ^ ((k ^ k >> 24) * _M & _32)
    if length != whole:
        h = (h ^ int.from_bytes(data[whole:], "little")) * _M & _32
    h = (h ^ h >> 13) * _M & _32
    return h ^ h >> 15


@lru_cache(maxsize=131_072)
def partition_of(account_id: str, partitions: int) -> int:
    """The partition of this account in a topic with that many partitions.

    Cached: a busy account costs a look-up, and memory stays bounded whatever accounts come by.
    """
    return (murmur2(account_id.encode()) & 0x7FFFFFFF) % partitions
