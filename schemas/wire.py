"""Avro's variable-length integers and the two framings of a Kafka message.

*Single-object*: ``C3 01``, eight bytes of fingerprint (little-endian), body.
*Confluent*: ``00``, four bytes of registry id (big-endian), body.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from schemas.errors import DAMAGED, EMPTY, FOREIGN, Undecodable

SINGLE_OBJECT = b"\xc3\x01"
SINGLE_OBJECT_LENGTH = 10
CONFLUENT = b"\x00"
CONFLUENT_LENGTH = 5

END_OF_BLOCKS = b"\x00"
"""What ends an array or a map."""

MAX_INT: Final = 2**31 - 1
MAX_LONG: Final = 2**63 - 1
_LAST_SHIFT: Final = 63
_SHORT_SHIFT: Final = 56


class DamagedBody(ValueError):
    """The body breaks Avro's rules."""


class TooManyItems(ValueError):
    """An array claims more items than its reader takes."""


def single_object_header(fingerprint: int) -> bytes:
    return SINGLE_OBJECT + fingerprint.to_bytes(8, "little")


def confluent_header(schema_id: int) -> bytes:
    return CONFLUENT + schema_id.to_bytes(4, "big")


def frame_length(data: bytes | None) -> int:
    """Length of the framing before the body.

    Raises `Undecodable` for an empty message, one that is in neither framing, and one that is cut within it.
    """
    if not data:
        raise Undecodable(EMPTY)
    if data[:1] == CONFLUENT:
        length = CONFLUENT_LENGTH
    elif data[:2] == SINGLE_OBJECT[: len(data)]:
        length = SINGLE_OBJECT_LENGTH
    else:
        raise Undecodable(FOREIGN)
    if len(data) < length:
        raise Undecodable(DAMAGED)
    return length


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """Unsigned integer of at most 64 bits and the position after it.

    Raises `DamagedBody` for a longer one and `IndexError` for a cut one. Decoders differ in what they make of a
    sixty-fifth bit, some by processor, so it is refused.
    """
    at: i64 = position
    byte: i64 = data[at]
    number: i64 = byte & 127
    shift: i64 = 7
    while byte > 127:
        if shift == _SHORT_SHIFT:
            return _read_long_varint(data, position)
        at += 1
        byte = data[at]
        number |= (byte & 127) << shift
        shift += 7
    return number, at + 1


def _read_long_varint(data: bytes, position: int) -> tuple[int, int]:
    """As `read_varint`, for numbers that may not fit into a machine's word with a sign."""
    byte = data[position]
    number = byte & 127
    shift = 7
    while byte > 127:
        position += 1
        byte = data[position]
        if shift == _LAST_SHIFT and byte > 1:
            raise DamagedBody
        number |= (byte & 127) << shift
        shift += 7
    return number, position + 1


def read_long(data: bytes, position: int) -> tuple[int, int]:
    """Avro ``long`` and the position after it. Raises as `read_varint`."""
    number, position = read_varint(data, position)
    return (number >> 1) ^ -(number & 1), position


def varint(number: int) -> bytes:
    """Inverse of `read_varint` for 0 <= number < 2**64."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


SMALL = 8192
"""Numbers from 0 up to here are written by a look-up."""
SMALL_LONGS = [varint(number << 1) for number in range(SMALL)]
# Fourteen bits at a time: a time in ms takes three look-ups instead of six turns of a loop.
_PAIRS = [bytes((number & 127 | 128, number >> 7 | 128)) for number in range(1 << 14)]
_LAST = [varint(number) for number in range(1 << 14)]


def write_long(number: int) -> bytes:
    """Avro ``long``. Raises `OverflowError` beyond 64 bits and `TypeError` for anything but an integer."""
    zigzag = number << 1 if number >= 0 else ~(number << 1)
    if zigzag < 1 << 28:
        return _PAIRS[zigzag & 16383] + _LAST[zigzag >> 14] if zigzag > 16383 else _LAST[zigzag]
    if zigzag < 1 << 42:
        return _PAIRS[zigzag & 16383] + _PAIRS[zigzag >> 14 & 16383] + _LAST[zigzag >> 28]
    if zigzag > 2 * MAX_LONG + 1:
        raise OverflowError
    return varint(zigzag)


def write_int(number: int) -> bytes:
    """Avro ``int``. Raises `OverflowError` beyond 32 bits and `TypeError` for anything but an integer."""
    if not -MAX_INT - 1 <= number <= MAX_INT:
        raise OverflowError
    return write_long(number)
