"""Asks what of a pipeline answers over HTTP or as a store: processes, and ClickHouse, and whether it is ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from socket import create_connection

from application.clickhouse.asking import foreign, loader_url
from application.clickhouse.opening import opened_sink
from application.configuration.settings import Settings
from application.errors import Failed
from sinks.http import remote_health
from sinks.printable import without_secrets
from sinks.sink import SinkUnavailable

_HEALTH_SECONDS = 2.0
_NOT_OURS = "what answers is no process of creditmeter"
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - recognised, not bound to


@dataclass(frozen=True)
class EndpointStatus:
    """Something that answers over HTTP; `detail` says what, or why not."""

    what: str
    url: str
    well: bool
    detail: str


def processes(settings: Settings) -> Iterator[EndpointStatus]:
    """Worker processes and loader, where metrics_port says at which ports they answer."""
    if not settings.metrics_port:
        return
    host = _EVERYWHERE.get(settings.metrics_host, settings.metrics_host)
    names = [f"worker {number + 1}" for number in range(settings.processes)]
    for offset, name in enumerate([*names, "loader"]):
        port = settings.metrics_port + offset
        yield _health(name, host, port)


def server(settings: Settings) -> Iterator[EndpointStatus]:
    """The HTTP API, where something listens at its port: a pipeline may do without one."""
    return _optional("HTTP API", settings.serve_host, settings.serve_port, "/health/ready")


def deliverer(settings: Settings) -> Iterator[EndpointStatus]:
    """The deliverer of webhooks, where something listens at its port: a pipeline may do without one, too."""
    if settings.metrics_port:
        yield from _optional("deliverer", settings.metrics_host, settings.metrics_port + settings.processes + 1)


def _optional(what: str, bound: str, port: int, path: str = "/health") -> Iterator[EndpointStatus]:
    host = _EVERYWHERE.get(bound, bound)
    try:
        create_connection((host, port), _HEALTH_SECONDS).close()
    except OSError:
        return
    status = _health(what, host, port, path)
    if not status.detail.startswith(_NOT_OURS):  # some other program has the port, where none of ours was started
        yield status


def _health(what: str, host: str, port: int, path: str = "/health") -> EndpointStatus:
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{port}{path}"
    connection = HTTPConnection(host, port, timeout=_HEALTH_SECONDS)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = json.loads(response.read())
    except ValueError:
        body = None
    except (OSError, HTTPException) as error:
        return EndpointStatus(what, url, well=False, detail=f"no answer: {error}")
    finally:
        connection.close()
    if not isinstance(body, dict):
        return EndpointStatus(what, url, well=False, detail=_NOT_OURS)
    well = response.status == HTTPStatus.OK
    problem = body.get("problem") or body.get("detail")
    code = f", {body['code']}" if "code" in body else ""
    return EndpointStatus(what, url, well, f"{body.get('status')}{code}" if well else str(problem))


def store(settings: Settings) -> EndpointStatus:
    """ClickHouse, as `query` would reach it."""
    if settings.store == "server":
        host = without_secrets(settings.clickhouse_host)
        url = f"clickhouse://{host}:{settings.clickhouse_port}/{settings.clickhouse_database}"
        try:
            with opened_sink(settings) as sink:
                sink.query("SELECT 1")
        except Failed as error:
            return EndpointStatus("ClickHouse", url, well=False, detail=error.message)
        return EndpointStatus("ClickHouse", url, well=True, detail="a server")
    url = loader_url(settings)
    try:
        well, identity = remote_health(url)
    except SinkUnavailable as error:
        return EndpointStatus("ClickHouse", without_secrets(url), well=False, detail=str(error))
    wrong = foreign(settings, identity)
    if wrong is not None or identity is None:
        return EndpointStatus("ClickHouse", without_secrets(url), well=False, detail=str(wrong))
    return EndpointStatus("ClickHouse", without_secrets(url), well, f"embedded, in {identity.folder}")
