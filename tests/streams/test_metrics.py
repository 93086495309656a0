"""Figures for Prometheus and the health endpoint."""

import json
import urllib.error
import urllib.request

import pytest

from streams.listening import CannotListen
from streams.metrics import Health, Metrics, MetricsServer


def ask(server: MetricsServer, path: str) -> tuple[int, str, str]:
    try:
        with urllib.request.urlopen(f"http://{server.host}:{server.port}{path}", timeout=5) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


def test_metrics_have_the_names_that_dashboards_use() -> None:
    metrics = Metrics()
    metrics.events.labels(decision="charged").inc(3)
    metrics.repeated.labels(command="request").inc()
    metrics.dead_letters.labels(reason="too_late").inc(2)
    metrics.catch_up.inc(5)
    metrics.applied.labels(partition="3").set(41)
    metrics.lag.labels(partition="3").set(7)
    metrics.state_bytes.labels(partition="3").set(1024)
    metrics.group_seconds.observe(0.02)
    with MetricsServer(metrics) as server:
        status, kind, text = ask(server, "/metrics")
    assert (status, kind.split(";")[0]) == (200, "text/plain")
    for line in (
        'creditmeter_events_total{decision="charged"} 3.0',
        'creditmeter_repeated_total{command="request"} 1.0',
        'creditmeter_dead_letters_total{reason="too_late"} 2.0',
        "creditmeter_catch_up_messages_total 5.0",
        'creditmeter_applied_offset{partition="3"} 41.0',
        'creditmeter_lag{partition="3"} 7.0',
        'creditmeter_state_bytes{partition="3"} 1024.0',
        "creditmeter_group_seconds_count 1.0",
    ):
        assert line in text.splitlines()


def test_a_partition_that_went_away_is_forgotten() -> None:
    metrics = Metrics()
    metrics.lag.labels(partition="3").set(7)
    metrics.forget_partition(3)
    metrics.forget_partition(4)
    assert b'partition="' not in metrics.text()


def test_two_processes_worth_of_metrics_do_not_meet() -> None:
    first, second = Metrics(), Metrics()
    first.catch_up.inc()
    assert b"creditmeter_catch_up_messages_total 0.0" in second.text()


@pytest.mark.parametrize(("well", "status", "word"), [(True, 200, "ok"), (False, 503, "failing")])
def test_health_says_how_it_is(well: bool, status: int, word: str) -> None:
    def health() -> Health:
        return well, {"partitions": [1, 2]}

    with MetricsServer(Metrics(), health) as server:
        code, kind, text = ask(server, "/health")
    assert (code, kind, json.loads(text)) == (status, "application/json", {"status": word, "partitions": [1, 2]})


def test_a_health_check_that_fails_is_a_failing_health() -> None:
    def health() -> Health:
        raise RuntimeError("no state")

    with MetricsServer(Metrics(), health) as server:
        assert ask(server, "/health")[::2] == (503, '{"status": "failing", "error": "no state"}\n')


def test_other_paths_are_not_found() -> None:
    with MetricsServer(Metrics()) as server:
        assert ask(server, "/")[0] == 404


def test_a_port_that_is_taken() -> None:
    with MetricsServer(Metrics()) as server:
        said = f"metrics_port {server.port} of 127.0.0.1: Address already in use"
        with pytest.raises(CannotListen, match=said):
            MetricsServer(Metrics(), port=server.port)
