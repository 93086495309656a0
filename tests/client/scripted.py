"""A clock that stands still until it is moved, and a transport that behaves as it is told."""

from collections.abc import Callable, Sequence

from creditmeter_client.results import Delivery, DeliveryStatus
from creditmeter_client.usage import Command, Event, Usage, event_of, id_of

NOW = 1_770_000_000_000


class HandClock:
    def __init__(self, now_ms: int = NOW) -> None:
        self.wall = now_ms
        self.seconds = 100.0

    def now_ms(self) -> int:
        return self.wall

    def monotonic(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.wall += int(seconds * 1000)
        self.seconds += seconds


class ScriptedTransport:
    """Keeps what it is sent, once. Before that it calls the next of `script`, which may raise or spoil the answers."""

    def __init__(self) -> None:
        self.script: list[Callable[[Sequence[Command]], list[Delivery] | None]] = []
        self.stored: list[str] = []
        self.requests: list[list[str]] = []
        self.forked = 0
        self.closed = False

    def send(self, commands: Sequence[Command]) -> list[Delivery]:
        self.requests.append([id_of(command) for command in commands])
        answers = self.script.pop(0)(commands) if self.script else None
        return self.store(commands) if answers is None else answers

    def store(self, commands: Sequence[Command]) -> list[Delivery]:
        for command in commands:
            if id_of(command) not in self.stored:
                self.stored.append(id_of(command))
        return [Delivery(DeliveryStatus.STORED, f"receipt of {id_of(command)}") for command in commands]

    def after_fork(self) -> None:
        self.forked += 1

    def close(self) -> None:
        self.closed = True


def event(event_id: str, **fields: object) -> Event:
    usage = Usage(**{"account_id": "acme", "endpoint": "/v1/people", **fields})  # type: ignore[arg-type]
    return event_of(usage, now=NOW, event_id=event_id)
