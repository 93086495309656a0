"""Which of ClickHouse's errors mean "try again" and which mean "never"."""

from __future__ import annotations

import re

from sinks.sink import SinkRejected, SinkUnavailable

UNAVAILABLE_CODES = frozenset(
    {
        3,  # UNEXPECTED_END_OF_FILE
        74,  # CANNOT_READ_FROM_FILE_DESCRIPTOR
        75,  # CANNOT_WRITE_TO_FILE_DESCRIPTOR
        76,  # CANNOT_OPEN_FILE
        77,  # CANNOT_CLOSE_FILE
        95,  # CANNOT_READ_FROM_SOCKET
        96,  # CANNOT_WRITE_TO_SOCKET
        99,  # UNKNOWN_PACKET_FROM_CLIENT
        101,  # UNEXPECTED_PACKET_FROM_CLIENT
        133,  # AIO_WRITE_ERROR
        173,  # CANNOT_ALLOCATE_MEMORY
        198,  # DNS_ERROR
        202,  # TOO_MANY_SIMULTANEOUS_QUERIES
        203,  # NO_FREE_CONNECTION
        209,  # SOCKET_TIMEOUT
        210,  # NETWORK_ERROR
        225,  # NO_ZOOKEEPER
        236,  # ABORTED
        241,  # MEMORY_LIMIT_EXCEEDED
        242,  # TABLE_IS_READ_ONLY
        243,  # NOT_ENOUGH_SPACE
        252,  # TOO_MANY_PARTS
        279,  # ALL_CONNECTION_TRIES_FAILED
        285,  # TOO_FEW_LIVE_REPLICAS
        286,  # UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE
        319,  # UNKNOWN_STATUS_OF_INSERT
        394,  # QUERY_WAS_CANCELLED
        425,  # SYSTEM_ERROR
        439,  # CANNOT_SCHEDULE_TASK
        473,  # DEADLOCK_AVOIDED
        999,  # KEEPER_EXCEPTION
        1000,  # POCO_EXCEPTION
        1001,  # STD_EXCEPTION: what the disk says when it fails
    }
)

READING_TOOK_TOO_MUCH = frozenset({158, 159, 160, 241, 307, 396})
"""The errors of a reader's own limits: too many rows or bytes, too long, too much memory."""

TOOK_TOO_MUCH = "the statement takes too much"
"""What the reason of a reading statement begins with that would pass its limits."""
READONLY = 164

_CODE = re.compile(r"Code: (\d+)")
_NAMED_COLUMN = re.compile(r"[Cc]olumn[: ]+[`'\"]?([A-Za-z_][A-Za-z0-9_]*)")
# White space only from its beginning: tried again from each of its characters, a long run would take quadratic time.
_STACK = re.compile(r"(?<!\s)\s*+(?:Stack trace:|: In scope |\. Expected one of:).*", re.DOTALL)
_CODES = re.compile(r"(?:Code: \d+\.?\s*)*")
_LAST_NAME = re.compile(r"[A-Z]+(?:_[A-Z0-9]+)+|version [0-9.]+")
_MOST_NAMES = 4


def code_of(message: str) -> int:
    """The error code in ClickHouse's message, 0 where there is none."""
    match = _CODE.search(message)
    return int(match.group(1)) if match else 0


def tidy(message: str) -> str:
    """The message without stack trace, code, repeated prefixes, and what stands last: the code's name, the version."""
    text = _STACK.sub("", message).replace("DB::Exception: ", "").replace(" (official build)", "")
    codes = _CODES.match(text)
    text = text[codes.end() if codes else 0 :].strip().rstrip(".")
    for _ in range(_MOST_NAMES):
        before, bracket, last = text.rpartition("(")
        if not bracket or not last.endswith(")") or not _LAST_NAME.fullmatch(last[:-1]):
            break
        text = before.rstrip(" .")
    return text


def insert_failed(code: int, message: str, table: str) -> SinkUnavailable | SinkRejected:
    """The exception for a failed insert or schema change."""
    if code in UNAVAILABLE_CODES:
        return SinkUnavailable(f"{table}: {tidy(message)}")
    named = _NAMED_COLUMN.search(message)
    return SinkRejected(tidy(message), table=table, column=named.group(1) if named else None)


def reading_failed(code: int, message: str) -> SinkUnavailable | SinkRejected:
    """The exception for a failed reading statement, which is refused for what it asks, or cannot be answered now."""
    if code == READONLY:
        return SinkRejected(f"only reading is allowed here: {tidy(message)}")
    if code in READING_TOOK_TOO_MUCH:
        return SinkRejected(f"{TOOK_TOO_MUCH}: {tidy(message)}. Ask for less, or add a LIMIT")
    if code in UNAVAILABLE_CODES:
        return SinkUnavailable(tidy(message))
    return SinkRejected(tidy(message))
