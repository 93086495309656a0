"""Claims: which subjects are paid for, by which event, until when.

A claim row is kept under (account, charge, names and canonical values of `unique.by`) and holds its owners,
[occurred_at, event_id, span]: the span (ms) is the window that the claim was made with, or None for `ever`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from metering.account import Account
from metering.book import ATTRIBUTE, Charge, Unique
from metering.records import Record
from metering.state import State
from metering.store import pack_texts, unpack_texts
from metering.subjects import canonical_domain, canonical_ip
from metering.windows import Window

Owner = list[Any]


def claim_key(charge: Charge, unique: Unique, event: Record) -> bytes | None:
    """The tail of the claim's key (charge, names, values), or None where a subject is missing."""
    packed = _charge_and_names(charge.charge, unique.by)
    for name in unique.by:
        value = subject_value(name, event)
        if not value:
            return None
        raw = value.encode()
        packed += len(raw).to_bytes(4, "big") + raw
    return packed


@lru_cache(maxsize=1_024)
def _charge_and_names(charge: str, names: tuple[str, ...]) -> bytes:
    return pack_texts(charge, *names)


def subject_value(name: str, event: Record) -> str | None:
    """The canonical value of one subject of an event, or None (empty counts as missing)."""
    if name == "ip":
        return canonical_ip(event["ip"]) if event["ip"] else None
    if name == "domain":
        return canonical_domain(event["domain"]) if event["domain"] else None
    value = event["attributes"].get(name[len(ATTRIBUTE) :]) if name.startswith(ATTRIBUTE) else event[name]
    return value or None


def describe_claim_key(tail: bytes) -> tuple[str, dict[str, str]]:
    """(charge, subjects by name) of a claim's key, for people."""
    charge, *rest = unpack_texts(tail)
    half = len(rest) // 2
    return charge, dict(zip(rest[:half], rest[half:], strict=True))


def owner_of(owners: Sequence[Owner], window: Window, occurred_at: int, horizon: int) -> Owner | None:
    """The claim that makes an event at ``occurred_at`` free: the latest owner not after it, else the earliest after.

    An owner is forgotten exactly when the horizon (stream time - accept_window) has passed it by more than its span.
    """
    before: Owner | None = None
    after: Owner | None = None
    for owner in owners:
        at = owner[0]
        if is_forgotten(owner, horizon) or not window.covers(at, occurred_at):
            continue
        if at <= occurred_at:
            if before is None or at > before[0]:
                before = owner
        elif after is None or at < after[0]:
            after = owner
    return before if before is not None else after


def is_forgotten(owner: Owner, horizon: int) -> bool:
    """Whether no event that can still be accepted can come under this claim."""
    return owner[2] is not None and owner[0] < horizon - owner[2]


def make_claim(
    state: State, key: bytes, owners: Sequence[Owner], event_id: str, occurred_at: int, window: Window, horizon: int
) -> None:
    """Records the event as one more owner under the claim's ``key``, and drops ``owners`` that are forgotten."""
    kept = [owner for owner in owners if not is_forgotten(owner, horizon)]
    kept.append([occurred_at, event_id, None if window.kind == "ever" else window.ms])
    state.put(key, kept)


def release_claim(state: State, account: Account, tail: bytes, event_id: str, occurred_at: int) -> None:
    """Takes the event's claim back, so that the next request for the subject is charged."""
    key = account.claim_prefix + tail
    kept = [owner for owner in state.get(key) or () if owner[0] != occurred_at or owner[1] != event_id]
    state.put(key, kept or None)
