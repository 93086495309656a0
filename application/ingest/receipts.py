"""Receipts: where an item stands in the log, and the digest of the message that holds it (SERVER.md 2.2).

`<log id>.<partition>.<offset>.<index>.<digest>`. A receipt says where; it is no signature. Who can read the log can
check it for ever.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from application.errors import ErrorCode, UseCaseError
from streams.log.event_sender import DIGEST_DIGITS, Stored

_RECEIPT = re.compile(
    rf"([A-Za-z0-9_-]{{1,64}})\.(\d{{1,9}})\.(\d{{1,18}})\.(\d{{1,9}})\.([0-9a-f]{{{DIGEST_DIGITS}}})", re.ASCII
)


_IN_A_PATH = str.maketrans("+/", "-_")


def _in_a_path(log_id: str) -> str:
    """A topic's id without what means something else in a URL: the client has it in base64 with + and /."""
    return log_id.translate(_IN_A_PATH)


class NotAReceipt(UseCaseError):
    """The text is none."""

    code = ErrorCode.NOT_FOUND


@dataclass(frozen=True, slots=True)
class Receipt:
    """`index`: the event's position in its message; 0 for another command, which is alone in its own."""

    log_id: str
    partition: int
    offset: int
    index: int
    digest: str

    @classmethod
    def of(cls, log_id: str, stored: Stored) -> Receipt:
        """The receipt of an acknowledged item."""
        return cls(_in_a_path(log_id), stored.partition, stored.offset, stored.index, stored.digest)

    def is_of(self, log_id: str) -> bool:
        """Whether it is of the log with this id, as Kafka's client spells it."""
        return self.log_id == _in_a_path(log_id)

    @classmethod
    def parse(cls, text: str) -> Receipt:
        """Read a receipt. Raises NotAReceipt."""
        match = _RECEIPT.fullmatch(text)
        if match is None:
            raise NotAReceipt("a receipt has five parts: log id, partition, offset, index, digest, with dots between")
        log_id, partition, offset, index, digest = match.groups()
        return cls(log_id, int(partition), int(offset), int(index), digest)

    def __str__(self) -> str:
        return f"{self.log_id}.{self.partition}.{self.offset}.{self.index}.{self.digest}"
