"""Checks that a log is the one that a state was made from: one restored to an earlier copy must be noticed.

A state knows the offset and the digest of the last message that it applied. In the log that it was made from, that very
record stands there, and the log goes on behind what the state has applied (SPEC 5).
"""

from __future__ import annotations

from hashlib import blake2b, sha256
from typing import TYPE_CHECKING

from streams import clock
from streams.log.protocols import LogChanged
from streams.state.store import LastMessage

if TYPE_CHECKING:
    from streams.log.protocols import InputLog, Message

SETTLING = 10.0
"""Seconds that a partition's end may seem to lie before what was read already, while its leader comes back."""
_PAUSE = 0.2
_SIZE = 16


def digest_of(message: Message) -> bytes:
    """The first 16 bytes of SHA-256 over the record's time (ms, eight bytes, big-endian) and value.

    Those decide a charge. Processors have instructions for SHA-256: it takes less than half the time of BLAKE2b.
    """
    return sha256(_content(message)).digest()[:_SIZE]


def _is_of(digest: bytes, message: Message) -> bool:
    """Whether a state's digest is that of the message; states that were last written before have BLAKE2b's."""
    return digest in (digest_of(message), blake2b(_content(message), digest_size=_SIZE).digest())


def _content(message: Message) -> bytes:
    return message.timestamp.to_bytes(8, "big", signed=True) + message.value


def last_message_of(message: Message) -> LastMessage:
    """What a state keeps of a message."""
    return LastMessage(message.offset, digest_of(message))


def check_same_log(
    log: InputLog, place: str, partition: int, applied: int, last: LastMessage | None, patience: float = SETTLING
) -> None:
    """Raises LogChanged where the log is not the one that `last` and `applied` are of; `place` is for the message.

    A state of an older version has no `last`, and retention may have deleted the record: then only the end is compared.
    `patience` in seconds. Raises LogUnavailable.
    """
    first, end = _bounds(log, partition, applied, patience)
    if applied >= end:
        raise LogChanged(
            f"{place}: the state has applied offsets up to {applied}, but the log ends at {end}: the log was restored "
            f"to an earlier copy than the state. {_ADVICE}"
        )
    if last is None or last.offset < first:
        return
    message = next(iter(log.read(partition, last.offset, last.offset + 1)), None)
    if message is None or not _is_of(last.digest, message):
        what = "no record" if message is None else "another record"
        raise LogChanged(
            f"{place}@{last.offset}: the log has {what} there, not the one that the state has applied: the log was "
            f"restored to an earlier copy, and went on from there. {_ADVICE}"
        )


_ADVICE = (
    "What was sent since would not be billed. Put the newer copy of Kafka's data back; where there is none, see "
    "docs/operations.md, A log that was restored"
)


def _bounds(log: InputLog, partition: int, applied: int, patience: float) -> tuple[int, int]:
    deadline = clock.monotonic() + patience
    while True:
        first, end = log.bounds(partition)
        if applied < end or clock.monotonic() >= deadline:
            return first, end
        clock.sleep(_PAUSE)
