"""A Kafka broker on this machine without Docker: one node that is broker and controller (KRaft), run by Java."""

import base64
import os
import shutil
import subprocess
import uuid
from pathlib import Path

from local import jars
from local.answers import kafka_answers
from local.process import ServerFailed
from local.server import HOST, LocalServer, Program

LOG4J = Path(__file__).absolute().with_name("kafka") / "log4j2.properties"
# Compiled quickly rather than well, and garbage collected by one thread: a broker of one machine shares its few cores
# with those that it serves, and optimising would take longer than most of its lives last. A start costs half the CPU.
JAVA_OPTIONS = ("-Xms256m", "-Xmx1g", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Djava.awt.headless=true")

SETTINGS = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
log.dirs=data

# One node: nothing can be kept twice.
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
min.insync.replicas=1

# A misspelled topic is an error, never a new topic. What was written stays.
auto.create.topics.enable=false
log.retention.ms=-1

# Quick: groups form at once, a crashed broker's registration lapses soon, little memory is set aside.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
log.cleaner.dedupe.buffer.size=4194304
num.network.threads=2
num.io.threads=4
"""


class LocalBroker(LocalServer):
    """One broker with its settings, data and log in `folder`; LocalServer says what it does. `port` fixes the port."""

    name = "the Kafka broker"
    short_name = "kafka"
    port_names = ("port", "controller_port")
    start_timeout = 120.0  # seconds; 4 to 6 are usual, a busy machine takes longer

    def __init__(self, folder: Path, *, port: int | None = None, outlive: bool = False) -> None:
        super().__init__(folder, outlive=outlive, ports=None if port is None else {"port": port})
        self._cluster: str | None = None

    @property
    def bootstrap(self) -> str:
        """What clients want as bootstrap.servers."""
        return f"{HOST}:{self.port}"

    def _find_program(self) -> Program:
        java = shutil.which("java")
        if java is None:
            raise ServerFailed("Java was not found: install 17 or newer (Debian: apt install openjdk-17-jre-headless)")
        folder = jars.fetch()
        if os.pathsep in str(folder):
            raise ServerFailed(
                f"Java cannot read the Kafka broker's jars in {folder}: it takes {os.pathsep!r} for the end of a "
                "folder's name; set XDG_CACHE_HOME to a folder without it"
            )
        # As a URI, which is ASCII: Log4j takes spaces, commas and backslashes in a path for something else.
        command = [java, *JAVA_OPTIONS, f"-Dlog4j2.configurationFile={LOG4J.as_uri()}", "-cp", f"{folder}/*"]
        return Program(command, jars.JAVA_ENVIRONMENT)

    def _prepare(self, program: Program) -> list[str]:
        # ASCII only, as no path is in it: java.util.Properties would read it as Latin-1.
        settings = SETTINGS.format(port=self.port, controller_port=self._known_port("controller_port"))
        (self.folder / "server.properties").write_text(settings, encoding="ascii")
        self._cluster = self._format(program)
        return ["kafka.Kafka", "server.properties"]

    def _answers(self) -> bool:
        return kafka_answers(HOST, self.port, self._cluster)

    def _format(self, program: Program) -> str:
        """Gives new storage a cluster id, leaves storage that has one alone, and returns the id."""
        formatted = self.folder / "formatted"
        if formatted.exists():
            return formatted.read_text().strip()
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "_")
        arguments = ["format", "--ignore-formatted", "-t", cluster, "-c", "server.properties"]
        done = subprocess.run(
            [*program.command, "kafka.tools.StorageTool", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            cwd=self.folder,
            env={**os.environ, **program.environment},
        )
        if done.returncode != 0:
            raise ServerFailed(f"the Kafka broker's storage in {self.folder} could not be formatted:\n{done.stdout}")
        # Written last: a start that was killed while formatting formats again.
        formatted.write_text(f"{cluster}\n")
        return cluster
