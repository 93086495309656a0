"""Places in the input log, as people write them.

`3@1042` is a whole message, `3@1042/17` the event at position 17 of its batch: partition and offset of the message, and
the position in it. A place names a command for ever.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_PLACE = re.compile(r"(\d{1,9})@(\d{1,18})(?:/(\d{1,9}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command stands; `index` is None for a message that is no batch or could not be read."""

    partition: int
    offset: int
    index: int | None

    @classmethod
    def parse(cls, text: str) -> Place:
        """Read `3@1042` or `3@1042/17`. Raises ValueError."""
        match = _PLACE.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not a place like 3@1042 or 3@1042/17 (partition@offset/index)")
        partition, offset, index = match.groups()
        return cls(int(partition), int(offset), None if index is None else int(index))

    def __str__(self) -> str:
        return f"{self.partition}@{self.offset}" + ("" if self.index is None else f"/{self.index}")
