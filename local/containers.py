"""A Kafka broker in a container, by testcontainers: its reaper removes the container when this process is gone."""

from typing import Any, Self

from testcontainers.core.container import DockerContainer

from local.answers import kafka_answers, wait_until
from local.ports import free_ports
from local.process import ServerFailed

KAFKA_IMAGE = "apache/kafka:4.1.0"
START_TIMEOUT = 180.0  # seconds; the first start pulls the image before this begins
KAFKA_PORT = 9092  # inside the container


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


class DockerBroker:
    """One broker in a container, at a port of this machine that stays the same over restarts.

    The data is in the container: it lasts over `kill` and `restart`, and is gone after `stop`.
    """

    def __init__(self, image: str = KAFKA_IMAGE) -> None:
        self._container: Any = DockerContainer(image)
        # Asked before the start: the broker must be told at which address its clients reach it.
        self.host: str = self._container.get_docker_client().host()
        (self.port,) = free_ports(1)
        self._container.with_bind_ports(KAFKA_PORT, self.port)
        self._container.with_envs(**kafka_settings(self.bootstrap))

    @property
    def bootstrap(self) -> str:
        """What clients want as bootstrap.servers."""
        return f"{self.host}:{self.port}"

    def start(self) -> Self:
        """Returns when the broker answers. Raises ServerFailed, with the tail of its log, when it does not."""
        self._container.start()
        return self._wait()

    def stop(self) -> None:
        """Removes the container with its data."""
        self._container.stop()

    def kill(self) -> None:
        """Ends the broker as a crash would. The container and its data stay, for `restart`."""
        self._container.get_wrapped_container().kill()

    def restart(self) -> Self:
        """Stops the broker, where it runs, and starts it with the same port and data."""
        self._container.get_wrapped_container().restart(timeout=30)
        return self._wait()

    def _wait(self) -> Self:
        why = wait_until(
            lambda: kafka_answers(self.host, self.port), START_TIMEOUT, lambda: container_ended(self._container)
        )
        if why is not None:
            failure = ServerFailed(
                f"the container {self._container.image} {why}; the end of its log:\n{log_tail(self._container)}"
            )
            self.stop()
            raise failure
        return self


def container_ended(container: Any) -> str | None:
    """Words for a container that is no longer starting or running, else None."""
    inner = container.get_wrapped_container()
    inner.reload()
    return None if inner.status in {"created", "running", "restarting"} else f"is {inner.status}"


def log_tail(container: Any, lines: int = 25) -> str:
    """The last lines that a container printed, indented, for an error message."""
    said: bytes = container.get_wrapped_container().logs(tail=lines)
    return "\n".join(f"    {line}" for line in said.decode(errors="replace").splitlines()) or "    (empty)"
