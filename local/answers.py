"""Checks whether a server takes requests yet, with its own clients."""

import base64
import http.client
import logging
import time
from collections.abc import Callable

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from local.ports import accepts


def wait_until(answers: Callable[[], bool], timeout: float, ended: Callable[[], str | None]) -> str | None:
    """None as soon as `answers` holds; else why not: the text from `ended`, or that `timeout` seconds passed."""
    deadline = time.monotonic() + timeout
    while not answers():
        words = ended()
        if words is not None:
            return words
        if time.monotonic() > deadline:
            return f"did not answer within {timeout:.0f} s"
        time.sleep(0.05)
    return None


def kafka_answers(host: str, port: int, cluster: str | None = None) -> bool:
    """Whether the broker is among those that it names: then it has registered, and takes requests.

    With `cluster`, an id, a broker of another cluster at that address is no answer.
    """
    if not accepts(host, port):  # cheaper than a client, which every try starts anew
        return False
    client = AdminClient({"bootstrap.servers": f"{host}:{port}"}, logger=_SILENT)
    try:
        seen = client.list_topics(timeout=2)
    except KafkaException:
        return False
    return bool(seen.brokers) and cluster in {None, seen.cluster_id}


def clickhouse_version(host: str, http_port: int, user: str = "default", password: str = "") -> str | None:
    """The server's version in its own words, None while it does not answer a query."""
    connection = http.client.HTTPConnection(host, http_port, timeout=2)
    who = base64.b64encode(f"{user}:{password}".encode()).decode()
    try:
        connection.request("GET", "/?query=SELECT%20version()", headers={"Authorization": f"Basic {who}"})
        reply = connection.getresponse()
        said = reply.read().decode(errors="replace").strip()
    except (OSError, http.client.HTTPException):
        return None
    else:
        return said if reply.status == http.HTTPStatus.OK else None
    finally:
        connection.close()


# A client that meets no broker yet says so on standard error, many times: here that is the question, not news.
_SILENT = logging.getLogger(__name__)
_SILENT.propagate = False
_SILENT.addHandler(logging.NullHandler())
