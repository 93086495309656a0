"""Sends a batch, and apart what is refused together, until each command has its own answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from creditmeter_client.errors import MeterUnavailable, RequestRefused
from creditmeter_client.recording.memory_queue import Entry
from creditmeter_client.results import Delivery, DeliveryStatus
from creditmeter_client.transport import EventTransport

_ABOUT_CONTENT = frozenset({0, 400, 409, 413, 422})
"""Statuses that say something about a command and not about the key, the address or the server."""
_FORBIDDEN = 403
_FORBIDDEN_TRIES = 5


@dataclass
class Sent:
    """What became of each entry; None: nothing is known, so it has to be sent again."""

    answers: list[tuple[Entry, Delivery | None]] = field(default_factory=list)
    problem: str = "the meter does not know what became of some"
    retry_after: float | None = None
    unavailable: bool = False
    forbidden: int = 0
    reasons: dict[int, str] = field(default_factory=dict)

    def reason_of(self, entry: Entry) -> str | None:
        """Why this one was refused, where the whole request was."""
        return self.reasons.get(id(entry))


def send_apart(transport: EventTransport, entries: Sequence[Entry], *, key_works: bool) -> Sent:
    """Sends the entries; a request that is refused whole is halved until the one that is refused stands alone.

    `key_works`: something was stored with this key before. Without that, 403 is taken for a wrong key and not for a
    wrong account, and everything is kept.
    """
    sent = Sent()
    _send(transport, list(entries), sent, key_works)
    return sent


def _send(transport: EventTransport, entries: list[Entry], sent: Sent, key_works: bool) -> bool:
    """Returns whether something was stored, then or before."""
    if sent.unavailable:
        sent.answers += [(entry, None) for entry in entries]
        return key_works
    try:
        deliveries = transport.send([entry.command for entry in entries])
    except MeterUnavailable as error:
        _give_up(entries, sent, str(error), error.retry_after)
        return key_works
    except RequestRefused as error:
        return _apart(transport, entries, sent, key_works, error)
    except Exception as error:  # noqa: BLE001 -- a transport that breaks its contract must not lose an event
        _give_up(entries, sent, f"{type(error).__name__}: {error}", None)
        return key_works
    if len(deliveries) != len(entries):
        _give_up(entries, sent, f"{len(deliveries)} answers to {len(entries)} events", None)
        return key_works
    sent.answers += zip(entries, deliveries, strict=True)
    return key_works or any(delivery.status is DeliveryStatus.STORED for delivery in deliveries)


def _apart(transport: EventTransport, entries: list[Entry], sent: Sent, key_works: bool, error: RequestRefused) -> bool:
    if error.status != _FORBIDDEN and error.status not in _ABOUT_CONTENT:
        _give_up(entries, sent, str(error), None)
        return key_works
    if len(entries) > 1:
        middle = len(entries) // 2
        key_works = _send(transport, entries[:middle], sent, key_works)
        return _send(transport, entries[middle:], sent, key_works)
    if error.status == _FORBIDDEN and not key_works:
        # It may be the key that is wrong and not this event: it waits, and a few others are tried before giving up.
        sent.answers.append((entries[0], None))
        sent.problem = str(error)
        sent.forbidden += 1
        sent.unavailable = sent.forbidden >= _FORBIDDEN_TRIES
        return key_works
    sent.answers.append((entries[0], Delivery(DeliveryStatus.INVALID, mistakes=error.mistakes)))
    sent.reasons[id(entries[0])] = str(error)
    return key_works


def _give_up(entries: list[Entry], sent: Sent, problem: str, retry_after: float | None) -> None:
    sent.unavailable = True
    sent.problem = problem
    sent.retry_after = retry_after
    sent.answers += [(entry, None) for entry in entries]
