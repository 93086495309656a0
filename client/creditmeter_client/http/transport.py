"""Sends to and asks `creditmeter serve` (docs/api.md)."""

from __future__ import annotations

import json
import math
import ssl
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from creditmeter_client.errors import FieldMistake, MeterUnavailable, RequestRefused
from creditmeter_client.http.answers import (
    decision_of,
    delivery_of,
    document_of,
    error_of,
    estimate_of,
    hold_of,
    mistakes_of,
    refund_of_answer,
    results_of,
)
from creditmeter_client.http.connections import Answer, Connections
from creditmeter_client.results import Decision, Delivery, DeliveryStatus, Estimate, Hold
from creditmeter_client.transport import HoldRequest
from creditmeter_client.usage import Command, Event, Refund, to_line

_JSON = "application/json"
_LONGEST_ESTIMATE = 10.0
"""Seconds that the server gives an estimate."""
_MARGIN = 5.0
"""Seconds that an answer may take longer than the wait that was asked for."""


class HttpTransport:
    """Carries events and questions. `key`: an API key of role producer; refunds need an operator's.

    `timeout`: seconds for connecting, and for an answer that waits for no decision. `context`: for a private
    certificate authority; TLS is always verified.
    """

    def __init__(self, url: str, key: str, *, timeout: float = 10.0, context: ssl.SSLContext | None = None) -> None:
        """Raises ValueError for an address or a key that can't be one."""
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            raise ValueError("the key must be one of creditmeter's: cm_live_ and 38 characters")
        self._connections = Connections(url, timeout, context)
        self._timeout = timeout
        self._headers = {"authorization": f"Bearer {key}", "accept": _JSON, "user-agent": "creditmeter-client"}

    def __repr__(self) -> str:
        return "HttpTransport(…)"  # never the key

    def send(self, commands: Sequence[Command]) -> list[Delivery]:
        deliveries: dict[int, Delivery] = {}
        events = [(index, command) for index, command in enumerate(commands) if isinstance(command, Event)]
        if events:
            answer = self._post_events([event for _, event in events], "/v1/events", {}, None)
            results = results_of(answer, [event.event_id for _, event in events])
            deliveries.update((index, delivery_of(result)) for (index, _), result in zip(events, results, strict=True))
        is_certain = all(delivery.status is not DeliveryStatus.UNKNOWN for delivery in deliveries.values())
        for index, command in enumerate(commands):
            if isinstance(command, Refund):  # not before the event that it may be of
                deliveries[index] = self._refund(command) if is_certain else Delivery(DeliveryStatus.UNKNOWN)
        return [deliveries[index] for index in range(len(commands))]

    def decide(self, events: Sequence[Event], wait: float) -> list[Decision]:
        seconds = max(1, math.ceil(wait))
        answer = self._post_events(events, "/v1/events?wait=decision", {"prefer": f"wait={seconds}"}, seconds + _MARGIN)
        results = results_of(answer, [event.event_id for event in events])
        return [decision_of(event.event_id, result) for event, result in zip(events, results, strict=True)]

    def hold(self, hold_id: str, account_id: str, request: HoldRequest, wait: float) -> Hold:
        seconds = max(1, math.ceil(wait))
        body: dict[str, Any] = {"hold_id": hold_id, "account_id": account_id, "expires_at": request.expires_at}
        if request.credits is not None:
            body["credits"] = dict(request.credits)
        if request.event is not None:
            body["event"] = dict(request.event.fields)
        if request.reason:
            body["reason"] = request.reason
        answer = self._post_json("/v1/holds", body, {"prefer": f"wait={seconds}"}, seconds + _MARGIN)
        return hold_of(hold_id, account_id, answer)

    def release(self, account_id: str, hold_id: str) -> None:
        path = f"/v1/holds/{segment(hold_id)}?{urlencode({'account_id': account_id})}"
        answer = self._connections.request("DELETE", path, self._headers, None)
        if answer.status >= 300:
            raise error_of(answer)

    def estimate(self, account_id: str, events: Sequence[Event]) -> Estimate:
        path = f"/v1/estimates?{urlencode({'account_id': account_id})}"
        return estimate_of(account_id, self._post_events(events, path, {}, _LONGEST_ESTIMATE + _MARGIN))

    def account(self, account_id: str) -> Mapping[str, Any]:
        return self._document(self._get(f"/v1/accounts/{segment(account_id)}"))

    def usage(self, account_id: str, filters: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
        query = dict(filters)
        while True:
            page = self._document(self._get(f"/v1/accounts/{segment(account_id)}/usage?{urlencode(query)}"))
            yield from page.get("rows", [])
            cursor = page.get("next")
            if not isinstance(cursor, str) or not cursor:
                return
            query["cursor"] = cursor

    def after_fork(self) -> None:
        self._connections.after_fork()

    def close(self) -> None:
        self._connections.close()

    def _post_events(
        self, events: Sequence[Event], path: str, headers: Mapping[str, str], timeout: float | None
    ) -> Answer:
        body = b"[%s]" % b",".join(to_line(event) for event in events)
        return self._connections.request(
            "POST", path, {**self._headers, "content-type": _JSON, **headers}, body, timeout
        )

    def _refund(self, refund: Refund) -> Delivery:
        """One request each: the endpoint takes one, and they are rare."""
        fields = {name: value for name, value in refund.fields.items() if name != "requested_at"}
        try:
            answer = self._post_json("/v1/refunds", fields, {"idempotency-key": refund.refund_id}, None)
        except MeterUnavailable:
            return Delivery(DeliveryStatus.UNKNOWN)
        if answer.status < 300:
            return refund_of_answer(answer)
        error = error_of(answer)
        if isinstance(error, RequestRefused) and error.status not in {401, 404, 405}:
            mistakes = mistakes_of(document_of(answer))
            return Delivery(DeliveryStatus.INVALID, mistakes=mistakes or (FieldMistake("", str(error)),))
        return Delivery(DeliveryStatus.UNKNOWN)

    def _post_json(
        self, path: str, body: Mapping[str, Any], headers: Mapping[str, str], timeout: float | None
    ) -> Answer:
        data = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        return self._connections.request(
            "POST", path, {**self._headers, "content-type": _JSON, **headers}, data, timeout
        )

    def _get(self, path: str) -> Answer:
        return self._connections.request("GET", path, self._headers, None)

    @staticmethod
    def _document(answer: Answer) -> Mapping[str, Any]:
        if answer.status != 200:
            raise error_of(answer)
        return document_of(answer)


def segment(text: str) -> str:
    """An id as one segment of a path (SERVER 2): `~` and base64url where it would not be one."""
    if text in {"self", ".", ".."} or "/" in text or text.startswith("~"):
        return "~" + urlsafe_b64encode(text.encode()).decode().rstrip("=")
    return quote(text, safe="")
