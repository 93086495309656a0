"""A Kafka broker and a ClickHouse server in containers, by testcontainers.

Its reaper removes them when this process is gone, however that ended. The images are those of docker-compose.yml.
"""

from typing import Any, Self

from docker.errors import DockerException
from docker.types import Ulimit
from requests import RequestException
from testcontainers.core.container import DockerContainer

from local.answers import clickhouse_version, kafka_answers, wait_until
from local.ports import free_ports
from local.process import ServerFailed

KAFKA_IMAGE = "apache/kafka:4.1.0"
CLICKHOUSE_IMAGE = "clickhouse/clickhouse-server:25.8.33.6"
START_TIMEOUT = 180.0  # seconds; the first start pulls the image before this begins
KAFKA_PORT, CLICKHOUSE_PORT, CLICKHOUSE_HTTP_PORT = 9092, 9000, 8123  # inside the containers


def kafka_settings(advertised: str) -> dict[str, str]:
    """The image's environment for one node that clients reach at `advertised` (host:port), as in local/broker.py."""
    return {
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_NODE_ID": "1",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_INTER_BROKER_LISTENER_NAME": "PLAINTEXT",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "KAFKA_LISTENERS": f"PLAINTEXT://0.0.0.0:{KAFKA_PORT},CONTROLLER://localhost:9093",
        "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://{advertised}",
        "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "1",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS": "1",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR": "1",
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
        "KAFKA_LOG_RETENTION_MS": "-1",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS": "1000",
        "KAFKA_BROKER_HEARTBEAT_INTERVAL_MS": "500",
        "KAFKA_BROKER_SESSION_TIMEOUT_MS": "3000",
        "KAFKA_HEAP_OPTS": "-Xms256m -Xmx1g",
    }


class _Container:
    """One server in a container, at ports of this machine that stay the same over restarts.

    The data is in the container: it lasts over `kill` and `restart`, and is gone after `stop`.
    """

    def __init__(self, image: str, *inner_ports: int) -> None:
        self._container: Any = DockerContainer(image)
        # Both are known before the start: a broker must be told at which address its clients reach it.
        self.host: str = self._container.get_docker_client().host()
        self._ports = free_ports(len(inner_ports))
        for inner, outer in zip(inner_ports, self._ports, strict=True):
            self._container.with_bind_ports(inner, outer)

    def _answers(self) -> bool:
        raise NotImplementedError

    def start(self) -> Self:
        """Returns when the server answers. Raises ServerFailed, with the tail of its log, when it does not."""
        try:
            self._container.start()
        except (DockerException, RequestException) as error:
            self.stop()
            raise ServerFailed(f"the container {self._container.image} could not be started: {error}") from error
        return self._wait()

    def stop(self) -> None:
        """Removes the container with its data."""
        self._container.stop()

    def kill(self) -> None:
        """Ends the server as a crash would. The container and its data stay, for `restart`."""
        self._container.get_wrapped_container().kill()

    def restart(self) -> Self:
        """Stops the server, where it runs, and starts it with the same ports and data."""
        self._container.get_wrapped_container().restart(timeout=30)
        return self._wait()

    def _wait(self) -> Self:
        why = wait_until(self._answers, START_TIMEOUT, lambda: container_ended(self._container))
        if why is not None:
            said = log_tail(self._container)
            self.stop()
            raise ServerFailed(f"the container {self._container.image} {why}; the end of its log:\n{said}")
        return self


class DockerBroker(_Container):
    """One Kafka broker in a container."""

    def __init__(self, image: str = KAFKA_IMAGE) -> None:
        super().__init__(image, KAFKA_PORT)
        self._container.with_envs(**kafka_settings(self.bootstrap))

    @property
    def bootstrap(self) -> str:
        """What clients want as bootstrap.servers."""
        return f"{self.host}:{self._ports[0]}"

    def _answers(self) -> bool:
        return kafka_answers(self.host, self._ports[0])


class DockerClickHouse(_Container):
    """One ClickHouse server in a container."""

    user = "creditmeter"
    password = "creditmeter"  # noqa: S105 - of a server that lives for one test run

    def __init__(self, image: str = CLICKHOUSE_IMAGE) -> None:
        super().__init__(image, CLICKHOUSE_PORT, CLICKHOUSE_HTTP_PORT)
        self.port, self.http_port = self._ports
        self.version = ""
        # Given a user, the image lets that user in from other machines: the default user may log in from inside only.
        self._container.with_envs(
            CLICKHOUSE_USER=self.user, CLICKHOUSE_PASSWORD=self.password, CLICKHOUSE_DEFAULT_ACCESS_MANAGEMENT="1"
        )
        self._container.with_kwargs(ulimits=[Ulimit(name="nofile", soft=262_144, hard=262_144)])

    def _answers(self) -> bool:
        self.version = clickhouse_version(self.host, self.http_port, self.user, self.password) or ""
        return bool(self.version)


def container_ended(container: Any) -> str | None:
    """Words for a container that is no longer starting or running, else None."""
    inner = container.get_wrapped_container()
    inner.reload()
    return None if inner.status in {"created", "running", "restarting"} else f"is {inner.status}"


def log_tail(container: Any, lines: int = 25) -> str:
    """The last lines that a container printed, indented, for an error message."""
    said: bytes = container.get_wrapped_container().logs(tail=lines)
    return "\n".join(f"    {line}" for line in said.decode(errors="replace").splitlines()) or "    (empty)"
