"""The metrics of a worker, loader or deliverer for Prometheus, and the small HTTP server that serves them."""

from __future__ import annotations

import json
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from streams.listening import CannotListen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_GROUP_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_LATENCY_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600)
_GROUP_MESSAGES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000)

Health = tuple[bool, dict[str, Any]]


class Metrics:
    """Every figure of one process, in a registry of its own. Thread-safe, as prometheus_client is.

    Counters count since the process began, as Prometheus expects. The bill is in the topics and in ClickHouse.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.events = self._counter("events", "Request events decided, by decision of their lines.", "decision")
        self.repeated = self._counter("repeated", "Commands that had been accepted before, by command.", "command")
        self.other_content = self._counter(
            "repeated_with_other_content", "Repeated ids whose content is another than the first's.", "command"
        )
        self.holds = self._counter(
            "holds", "Changes of holds: held, rejected, drawn, settled, released, expired.", "status"
        )
        self.dead_letters = self._counter("dead_letters", "Commands and events not accepted, by reason.", "reason")
        self.messages = self._counter("messages", "Kafka messages of the input log rated.")
        self.catch_up = self._counter("catch_up_messages", "Messages applied again without output, to catch up.")
        self.loaded_rows = self._counter("loaded_rows", "Rows written to ClickHouse, by table.", "table")
        self.stray_records = self._counter(
            "stray_records", "Records of output topics that no worker of this pipeline wrote, skipped.", "topic"
        )
        self.webhook_messages = self._counter("webhook_messages", "Messages made for webhooks, by event.", "event")
        self.webhook_tries = self._counter(
            "webhook_tries", "Tries of webhooks: delivered, failed, gone (410).", "outcome"
        )
        self.webhook_waiting = self._gauge("webhook_waiting", "Messages that wait for webhooks, of this process.")
        self.loaded_offset = self._gauge(
            "loaded_offset", "Last offset of an output topic whose rows are in ClickHouse.", "topic", "partition"
        )
        self.load_retries = self._counter(
            "load_retries", "Times that ClickHouse did not take rows and was tried again."
        )
        self.checkpoints = self._counter("checkpoints", "Checkpoints of states: kept, or failed.", "result")
        self.restores = self._counter("restores", "States begun from a checkpoint: done, damaged, failed.", "result")
        self.applied = self._gauge("applied_offset", "Last input offset whose changes are in the state.", "partition")
        self.lag = self._gauge("lag", "Messages of the input log that are not yet rated.", "partition")
        self.state_bytes = self._gauge(
            "state_bytes", "Size of a partition's state, on disk and in buffers.", "partition"
        )
        self.checkpoint_offset = self._gauge(
            "checkpoint_offset", "Last input offset in a partition's newest checkpoint by this worker.", "partition"
        )
        self.checkpoint_pause = self._histogram(
            "checkpoint_pause_seconds", "For which a checkpoint's local copy held up rating.", _GROUP_SECONDS
        )
        self.checkpoint_seconds = self._histogram(
            "checkpoint_seconds", "From a checkpoint's local copy to its seal.", _LATENCY_SECONDS
        )
        self.group_seconds = self._histogram(
            "group_seconds", "Work on the messages that were written together.", _GROUP_SECONDS
        )
        self.group_messages = self._histogram("group_messages", "Messages in a group.", _GROUP_MESSAGES)
        self.latency = self._histogram("latency_seconds", "From the broker's time to the commit.", _LATENCY_SECONDS)

    def forget_partition(self, partition: int) -> None:
        """Drop a partition's gauges, which now belong to another worker."""
        for gauge in (self.applied, self.lag, self.state_bytes, self.checkpoint_offset):
            gauge.remove(str(partition))

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"creditmeter_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"creditmeter_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"creditmeter_{name}", text, buckets=buckets, registry=self.registry)


def always_well() -> Health:
    """A health that says nothing is wrong."""
    return True, {}


class MetricsServer:
    """Answers `/metrics` (Prometheus) and `/health` (200 or 503, JSON) from a thread of its own.

    `health()` returns whether the process is well, and details. Port 0 takes a free one; see `port`. Raises
    CannotListen.
    """

    def __init__(
        self, metrics: Metrics, health: Callable[[], Health] = always_well, *, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        try:
            self._server = ThreadingHTTPServer((host, port), _handler(metrics, health))
        except OSError as error:
            raise CannotListen("metrics_port", host, port, error) from error
        self._server.daemon_threads = True
        self.host = host
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="creditmeter-metrics", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _handler(metrics: Metrics, health: Callable[[], Health]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                self._answer(HTTPStatus.OK, CONTENT_TYPE_LATEST, metrics.text())
            elif path == "/health":
                self._answer_health()
            else:
                self._answer_json(HTTPStatus.NOT_FOUND, {"error": "there are /metrics and /health"})

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
            """Say nothing: a scrape every few seconds is no news."""

        def _answer_health(self) -> None:
            try:
                well, details = health()
            except Exception as error:  # noqa: BLE001 - whatever it is, the process is not well
                well, details = False, {"error": str(error)}
            status = HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE
            self._answer_json(status, {"status": "ok" if well else "failing", **details})

        def _answer_json(self, status: HTTPStatus, content: Mapping[str, Any]) -> None:
            self._answer(status, "application/json", json.dumps(content).encode() + b"\n")

        def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler
