"""A Kafka broker on this machine without Docker: one node that is broker and controller (KRaft), run by Java."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from confluent_kafka import KafkaException

from local import jars
from local.answers import kafka_answers
from local.cache import cache_folder, fetch_once, print_progress
from local.process import ServerFailed
from local.quick_start import QuickStart, kafka_id, use_once
from local.server import HOST, LocalServer, Program

LOG4J = Path(__file__).absolute().with_name("kafka") / "log4j2.properties"
# Compiled quickly rather than well, and garbage collected by one thread: a broker of one machine shares its few cores
# with those that it serves, and optimising would take longer than most of its lives last. A start costs half the CPU.
JAVA_OPTIONS = ("-Xms256m", "-Xmx1g", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Djava.awt.headless=true")

DATA = "data"  # the folder of the storage, in the broker's
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

# Quick: groups form at once, a crashed broker's registration lapses soon, little memory is set aside. Idle: the
# controller writes nothing into its log twice a second for others to follow, as there are none.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
metadata.max.idle.interval.ms=0
log.cleaner.dedupe.buffer.size=4194304
num.network.threads=2
num.io.threads=4
"""


class LocalBroker(LocalServer):
    """One broker with its settings, data and log in `folder`; LocalServer says what it does. `port` fixes the port."""

    name = "the Kafka broker"
    short_name = "kafka"
    port_names = ("port", "controller_port")
    start_timeout = 120.0  # seconds; 2 to 4 are usual, a busy machine takes longer

    def __init__(self, folder: Path, *, port: int | None = None, outlive: bool = False) -> None:
        super().__init__(folder, outlive=outlive, ports=None if port is None else {"port": port})
        self._cluster: str | None = None
        self._quick_start: QuickStart | None = None

    @property
    def bootstrap(self) -> str:
        """What clients want as bootstrap.servers."""
        return f"{HOST}:{self.port}"

    def _find_program(self) -> Program:
        java, folder = _java(), jars.fetch()
        if os.pathsep in str(folder):
            raise ServerFailed(
                f"Java cannot read the Kafka broker's jars in {folder}: it takes {os.pathsep!r} for the end of a "
                "folder's name; set XDG_CACHE_HOME to a folder without it"
            )
        self._quick_start = self._find_quick_start(java)
        # As a URI, which is ASCII: Log4j takes spaces, commas and backslashes in a path for something else.
        command = [java, *JAVA_OPTIONS, *self._archive(), f"-Dlog4j2.configurationFile={LOG4J.as_uri()}"]
        return Program([*command, "-cp", f"{folder}/*"], jars.JAVA_ENVIRONMENT)

    def _find_quick_start(self, java: str) -> QuickStart | None:
        return quick_start(java)

    def _archive(self) -> list[str]:
        return [] if self._quick_start is None else self._quick_start.java_options()

    def _prepare(self, program: Program) -> list[str]:
        # ASCII only, as no path is in it: java.util.Properties would read it as Latin-1.
        settings = SETTINGS.format(data=DATA, port=self.port, controller_port=self._known_port("controller_port"))
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
        cluster = kafka_id()
        if self._quick_start is None:
            self._run_format_tool(program, cluster)
        else:
            self._quick_start.format(self.folder / DATA, cluster)
        # Written last: a start that was killed while formatting formats again.
        formatted.write_text(f"{cluster}\n")
        return cluster

    def _run_format_tool(self, program: Program, cluster: str) -> None:
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


class _FirstBroker(LocalBroker):
    """One that starts slowly, and leaves in `made` what lets others start quickly."""

    stop_timeout = 300.0  # seconds; writing the classes takes 5

    def __init__(self, folder: Path, made: QuickStart) -> None:
        super().__init__(folder)
        self._made = made

    def _find_quick_start(self, _java: str) -> None:
        return None

    def _prepare(self, program: Program) -> list[str]:
        arguments = super()._prepare(program)
        self._made.keep_storage(self.folder / DATA)
        return [*self._made.archiving_options(), *arguments]


def prepare_broker() -> None:
    """Fetches and makes all that brokers of this user share, so that no start has to. Raises ServerFailed."""
    java = _java()
    jars.fetch()
    quick_start(java)


def _java() -> str:
    program = shutil.which("java")
    if program is None:
        raise ServerFailed("Java was not found: install 17 or newer (Debian: apt install openjdk-17-jre-headless)")
    return program


def quick_start(java: str) -> QuickStart | None:
    """What lets brokers of this user start quickly, made first where it is missing; None where it cannot be made.

    Other jars, another Java and other options each have their own.
    """
    program = Path(java).resolve()
    state = program.stat()
    seen = (jars.jars_folder(), program, state.st_size, state.st_mtime_ns, JAVA_OPTIONS, SETTINGS)
    name = f"kafka-start-{hashlib.sha256(repr(seen).encode(errors='surrogateescape')).hexdigest()[:16]}"
    try:
        return QuickStart(fetch_once(cache_folder() / name, _make_quick_start))
    except (ServerFailed, KafkaException) as error:
        print_progress(f"The Kafka broker starts slowly: {error}")
        return None


def _make_quick_start(folder: Path) -> None:
    print_progress(f"Preparing quick starts of the Kafka broker in {cache_folder()} (10 s, once) ...")
    scratch = folder / "broker"
    with _FirstBroker(scratch, QuickStart(folder)) as broker:
        use_once(broker.bootstrap)
    shutil.rmtree(scratch)
