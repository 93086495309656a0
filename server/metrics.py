"""The server's figures for Prometheus, in a registry of their own as the worker's are."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class HttpMetrics:
    """Every figure of one server. Routes are their patterns, so that ids make no series."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Histogram(
            "creditmeter_http_request_seconds", "Requests by route and status.", ("method", "route", "status"),
            buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip
        self.events = Counter(
            "creditmeter_http_events", "Events by what became of them: stored, invalid, not_stored, unknown.",
            ("status",), registry=self.registry,
        )  # fmt: skip
        self.waits = Counter(
            "creditmeter_http_waits", "Items whose decision was waited for: decided, repeated, set_aside, pending.",
            ("status",), registry=self.registry,
        )  # fmt: skip
        self.in_hand = self._gauge("http_requests_in_hand", "Requests that are not answered yet.")
        self.body_bytes = self._gauge("http_body_bytes", "Bytes of bodies in hand.")
        self.unacknowledged = self._gauge("http_unacknowledged_bytes", "Bytes that Kafka has not acknowledged yet.")
        self.tail_bytes = self._gauge("http_tail_bytes", "Bytes of recent answers kept for those who wait.")
        self.tail_lag = self._gauge("http_tail_lag_seconds", "From an answer's time in Kafka to its being read here.")

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"creditmeter_{name}", text, registry=self.registry)
