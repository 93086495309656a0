"""Clients of the HTTP API that send events until each is acknowledged, and keep what they were told."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
import uuid
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from streams import clock

ACCOUNTS = 12
_PAUSE = 0.1


@dataclass
class Accepted:
    """What the clients know: receipts of each event by (account, event id), decisions that were answered, tries."""

    receipts: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    decisions: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    requests: int = 0
    failed: int = 0


def asked(port: int, method: str, target: str, document: object, key: str) -> tuple[int, dict[str, Any]]:
    """Status and body of an answer. Raises what a connection that breaks raises, ValueError for half an answer."""
    status, _, body = exchanged(port, method, target, document, key)
    return status, json.loads(body)


def exchanged(port: int, method: str, target: str, document: object, key: str) -> tuple[int, str, bytes]:
    """Status, content type and body of any answer. Raises what a connection that breaks raises."""
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=40)) as connection:
        connection.request(method, target, b"" if document is None else json.dumps(document).encode(), headers)
        answer = connection.getresponse()
        return answer.status, answer.getheader("content-type") or "", answer.read()


class Clients:
    """So many clients, each with one connection at a time, from `start` until `finish`."""

    def __init__(self, port: int, key: str, seed: int, count: int = 4) -> None:
        self._port = port
        self._key = key
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._problems: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._run, args=(random.Random(seed + number),), daemon=True)
            for number in range(count)
        ]
        self.accepted = Accepted()

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def finish(self, seconds: float = 120) -> Accepted:
        """No new events; returns once all that were sent are acknowledged."""
        self._ending.set()
        for thread in self._threads:
            thread.join(seconds)
            assert not thread.is_alive(), "events are still not acknowledged"
        assert not self._problems, self._problems[0]
        return self.accepted

    def _run(self, rng: random.Random) -> None:
        try:
            while not self._ending.is_set():
                self._send(rng, [_event(rng) for _ in range(rng.choice([1, 1, 3, 40]))])
                time.sleep(rng.random() * _PAUSE)
        except BaseException as error:  # noqa: BLE001 -- told by `finish`
            self._problems.append(error)

    def _send(self, rng: random.Random, events: list[dict[str, Any]]) -> None:
        """Sends what is not acknowledged again and again; once in a while what is acknowledged, too."""
        left = events
        while left:
            target = "/v1/events?wait=decision" if rng.random() < 0.3 else "/v1/events"
            results = self._answer(target, left)
            if results is None:
                time.sleep(_PAUSE)
                continue
            left = [event for event, result in zip(left, results, strict=True) if not self._note(event, result)]
        if rng.random() < 0.1:
            for event, result in zip(events, self._answer("/v1/events", events) or [], strict=False):
                self._note(event, result)

    def _note(self, event: dict[str, Any], result: dict[str, Any]) -> bool:
        """Keeps what an answer says of an event; False where it is not acknowledged."""
        assert result["event_id"] == event["event_id"]
        if result["status"] != "stored":
            assert result["status"] == "unknown", result
            return False
        who = event["account_id"], event["event_id"]
        decision = result.get("decision", {})
        with self._lock:
            self.accepted.receipts.setdefault(who, []).append(result["receipt"])
            if decision.get("status") == "decided":
                self.accepted.decisions[who] = decision
        return True

    def _answer(self, target: str, events: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
        """The results, of a 503 those it has; None where there are none."""
        try:
            status, body = asked(self._port, "POST", target, events, self._key)
        except (OSError, http.client.HTTPException, ValueError):
            status, body = 0, {}
        with self._lock:
            self.accepted.requests += 1
            self.accepted.failed += status != 200
        assert status in {0, 200, 503}, (status, body)
        results: list[dict[str, Any]] | None = body.get("results")
        return results


def _event(rng: random.Random) -> dict[str, Any]:
    return {
        "event_id": str(uuid.UUID(int=rng.getrandbits(128))), "account_id": f"acct-{rng.randrange(ACCOUNTS)}",
        "occurred_at": clock.now_ms() - rng.randrange(1_000), "endpoint": rng.choice(["/v1/ip-lookup", "/v1/pageview"]),
        "channel": "api", "ip": f"203.0.113.{rng.randrange(256)}",
    }  # fmt: skip
