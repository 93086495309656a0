"""Bounds that keep one client from hurting others: requests at once and bytes in flight, in all and by key.

Counted in this process. What is beyond the bounds of all is 503, what is beyond a key's own is 429; either is said
before anything is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from server.api.problems import Problem, ProblemType
from server.api.rate_limit_fields import too_many


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most that this process has in hand."""

    requests: int = 1_000
    requests_of_a_key: int = 256
    bytes: int = 256 << 20
    bytes_of_a_key: int = 128 << 20
    connections: int = 4_000
    body_bytes: int = 16 << 20
    idle_seconds: float = 15.0
    body_seconds: float = 60.0


class _Count:
    __slots__ = ("bytes", "requests")

    def __init__(self) -> None:
        self.requests = 0
        self.bytes = 0


class Limits:
    """What is in hand now."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self._all = _Count()
        self._keys: dict[str, _Count] = {}
        self._alone: set[tuple[str, str]] = set()

    @property
    def requests(self) -> int:
        """Requests in hand."""
        return self._all.requests

    @property
    def bytes(self) -> int:
        """Bytes of bodies in hand."""
        return self._all.bytes

    @contextmanager
    def request(self) -> Iterator[Usage]:
        """Count a request until the block ends, with the bytes that it took. Raises Problem 503."""
        if self._all.requests >= self.bounds.requests:
            raise Problem(
                ProblemType.OVERLOADED, f"{self.bounds.requests} requests are in hand; nothing of this one was stored"
            )
        self._all.requests += 1
        usage = Usage(self)
        try:
            yield usage
        finally:
            usage.end()
            self._all.requests -= 1

    @contextmanager
    def alone(self, what: str, key_id: str) -> Iterator[None]:
        """A block that a key is in once at a time. Raises Problem 429 where it is in it."""
        if (what, key_id) in self._alone:
            raise too_many(what, 1, f"this key has {what} under way: one request at a time")
        self._alone.add((what, key_id))
        try:
            yield
        finally:
            self._alone.discard((what, key_id))

    def _key(self, name: str) -> _Count:
        return self._keys.setdefault(name, _Count())


class Usage:
    """What one request has taken of the limits."""

    def __init__(self, limits: Limits) -> None:
        self.bounds = limits.bounds
        self._limits = limits
        self._key: str | None = None
        self._bytes = 0

    def of_key(self, key_id: str) -> None:
        """The request is this key's. Raises Problem 429 where the key has too many in hand."""
        count, most = self._limits._key(key_id), self.bounds.requests_of_a_key  # noqa: SLF001 -- one module
        if count.requests >= most:
            detail = f"this key has {most} requests in hand, the most at once; nothing of this one was stored"
            raise too_many("requests", most, detail)
        count.requests += 1
        count.bytes += self._bytes
        self._key = key_id

    def take(self, count: int) -> None:
        """Take bytes before they are kept. Raises Problem: 429 for the key's bound, 503 for that of all."""
        whole = self._limits._all  # noqa: SLF001 -- one module
        key = None if self._key is None else self._limits._key(self._key)  # noqa: SLF001
        if key is not None and key.bytes + count > self.bounds.bytes_of_a_key:
            detail = "this key has too many bytes in hand; nothing of this request was stored"
            raise too_many("bytes", self.bounds.bytes_of_a_key, detail, "content-bytes")
        if whole.bytes + count > self.bounds.bytes:
            raise Problem(ProblemType.OVERLOADED, "too many bytes are in hand; nothing of this request was stored")
        whole.bytes += count
        self._bytes += count
        if key is not None:
            key.bytes += count

    def end(self) -> None:
        """Give everything back."""
        limits = self._limits
        limits._all.bytes -= self._bytes  # noqa: SLF001 -- one module
        if self._key is not None:
            key = limits._key(self._key)  # noqa: SLF001
            key.requests -= 1
            key.bytes -= self._bytes
            if not key.requests:
                limits._keys.pop(self._key, None)  # noqa: SLF001
