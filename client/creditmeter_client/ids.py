"""Ids of the client's own: random UUIDs (version 4), 36 characters."""

from __future__ import annotations

import os

_BYTES = 16
_AT_ONCE = 256
_VARIANTS = "89ab"
_random: list[bytes] = []
"""Random bytes for the next ids. `os.urandom` lets other threads run, and a request would wait until they pause."""


def new_id() -> str:
    """A new id. Never take one from a request: a caller could make calls free with it. Safe in threads and forks."""
    try:
        digits = _random.pop().hex()
    except IndexError:
        digits = _more().hex()
    variant = _VARIANTS[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def _more() -> bytes:
    data = os.urandom(_BYTES * _AT_ONCE)
    first, *others = (data[start : start + _BYTES] for start in range(0, len(data), _BYTES))
    _random.extend(others)
    return first


os.register_at_fork(after_in_child=_random.clear)
