"""A Kafka broker on this machine without Docker: one node that is broker and controller (KRaft), run by Java."""

import base64
import json
import shutil
import subprocess
import uuid
from pathlib import Path
from types import TracebackType
from typing import Self

from local import jars
from local.answers import kafka_answers
from local.ports import free_ports, is_free
from local.process import ServerFailed, ServerProcess
from local.record import Record

LOG4J = Path(__file__).with_name("kafka") / "log4j2.properties"
# Compiled quickly rather than well, and garbage collected by one thread: a broker of one machine shares its few cores
# with those that it serves, and optimising would take longer than most of its lives last. A start costs half the CPU.
JAVA_OPTIONS = ("-Xms256m", "-Xmx1g", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Djava.awt.headless=true")
START_TIMEOUT = 120.0  # seconds; 4 to 6 are usual, a busy machine takes longer
STOP_TIMEOUT = 30.0

SETTINGS = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
log.dirs={data}

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


class LocalBroker:
    """One broker whose settings, data and log are in `folder`: `start()` it, or use it as a context manager.

    A broker on a folder that was used before keeps its data, and its port while that is free. It ends with the process
    that started it, unless `outlive` is set: then `local.record.stop(folder / "kafka.json")` ends it, from any process.
    `port` fixes the port. Every method that starts raises ServerFailed, with the tail of the log, when it cannot.
    """

    def __init__(self, folder: Path, *, port: int | None = None, outlive: bool = False) -> None:
        self.folder = folder.absolute()
        self.log = self.folder / "kafka.log"
        self._port = port
        self._outlive = outlive
        self._process: ServerProcess | None = None
        self._record = self.folder / "kafka.json"

    @property
    def port(self) -> int:
        """The port on 127.0.0.1, the same over restarts. Raises ServerFailed before the first start."""
        if self._port is None:
            raise ServerFailed(f"the Kafka broker in {self.folder} has not been started")
        return self._port

    @property
    def bootstrap(self) -> str:
        """What clients want as bootstrap.servers."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The pid of the broker's own process. Raises ServerFailed when it is stopped."""
        if self._process is None:
            raise ServerFailed(f"the Kafka broker in {self.folder} is not running")
        return self._process.pid

    def start(self) -> Self:
        """Returns when the broker answers. Fetches the jars and formats the storage first where that is to be done."""
        if self._process is not None:
            raise ServerFailed(f"the Kafka broker in {self.folder} runs already, with pid {self.pid}")
        Record.refuse_second(self._record)
        java = shutil.which("java")
        if java is None:
            raise ServerFailed("Java was not found: install 17 or newer (Debian: apt install openjdk-17-jre-headless)")
        classpath = f"{jars.fetch()}/*"
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = self._write_settings()
        cluster = self._format(java, classpath, settings)
        command = [java, *JAVA_OPTIONS, f"-Dlog4j2.configurationFile={LOG4J}", "-cp", classpath]
        command += ["kafka.Kafka", str(settings)]
        process = ServerProcess("the Kafka broker", command, log=self.log, outlive=self._outlive)
        process.wait_until(lambda: kafka_answers("127.0.0.1", self.port, cluster), START_TIMEOUT)
        self._process = process
        Record.of(process.pid, self.bootstrap).write(self._record)
        return self

    def stop(self) -> None:
        """Ends it in order. Does nothing to a broker that is stopped."""
        if self._process is not None:
            self._process.terminate(STOP_TIMEOUT)
            self._process = None
            self._record.unlink(missing_ok=True)

    def kill(self) -> None:
        """Ends it as a crash would (kill -9). Does nothing to a broker that is stopped."""
        if self._process is not None:
            self._process.kill()
            self._process = None
            self._record.unlink(missing_ok=True)

    def restart(self) -> Self:
        """Stops it, where it runs, and starts it with the same port and data."""
        self.stop()
        return self.start()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _write_settings(self) -> Path:
        """Writes server.properties, with the ports of the last start where they are free, and returns its path."""
        kept = self.folder / "ports.json"
        last = json.loads(kept.read_text()) if kept.exists() else {}
        fresh = free_ports(2)
        if self._port is None:
            self._port = last["port"] if last and is_free(last["port"]) else fresh[0]
        controller_port = last["controller_port"] if last and is_free(last["controller_port"]) else fresh[1]
        kept.write_text(json.dumps({"port": self._port, "controller_port": controller_port}))
        settings = self.folder / "server.properties"
        data = self.folder / "data"
        settings.write_text(SETTINGS.format(port=self._port, controller_port=controller_port, data=data))
        return settings

    def _format(self, java: str, classpath: str, settings: Path) -> str:
        """Gives new storage a cluster id, leaves storage that has one alone, and returns the id."""
        formatted = self.folder / "formatted"
        if formatted.exists():
            return formatted.read_text().strip()
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "_")
        command = [java, "-XX:TieredStopAtLevel=1", f"-Dlog4j2.configurationFile={LOG4J}", "-cp", classpath]
        command += ["kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", cluster, "-c", str(settings)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode != 0:
            raise ServerFailed(f"the Kafka broker's storage in {self.folder} could not be formatted:\n{done.stdout}")
        # Written last: a start that was killed while formatting formats again.
        formatted.write_text(f"{cluster}\n")
        return cluster
