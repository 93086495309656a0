"""The broker of this machine: it keeps what it was given over restarts and crashes, and ends with its starter."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from local import jars, record
from local.broker import LocalBroker
from local.process import ServerFailed

ROOT = Path(__file__).parents[2]

# These are about the Java broker itself, whatever way the shared one came.
pytestmark = pytest.mark.kafka


def make_topic(bootstrap: str, name: str) -> None:
    client = AdminClient({"bootstrap.servers": bootstrap})
    for made in client.create_topics([NewTopic(name, 1, 1)]).values():
        made.result(30)


def write(bootstrap: str, topic: str, *values: bytes) -> None:
    errors: list[object] = []
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "enable.idempotence": True})
    for value in values:
        producer.produce(topic, value, partition=0, on_delivery=lambda error, _: error and errors.append(error))
    assert producer.flush(30) == 0
    assert errors == []


def read_all(bootstrap: str, topic: str) -> list[bytes]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader", "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    _, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=30)
    values = [message.value() for message in consumer.consume(end, 30)] if end else []
    consumer.close()
    return values


def gone(pid: int, within: float = 20) -> bool:
    deadline = time.monotonic() + within
    while record.process_began(pid) is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    return record.process_began(pid) is None


@pytest.mark.slow
def test_keeps_its_port_and_its_data_over_a_restart_and_a_crash(tmp_path: Path) -> None:
    with LocalBroker(tmp_path / "kafka") as broker:
        address, first_pid = broker.bootstrap, broker.pid
        make_topic(address, "kept")
        write(address, "kept", b"before the restart")

        broker.restart()
        assert (broker.bootstrap, gone(first_pid)) == (address, True)
        write(address, "kept", b"before the crash")

        second_pid = broker.pid
        os.kill(second_pid, signal.SIGKILL)  # from outside, as a crash comes
        assert gone(second_pid)
        broker.restart()
        assert broker.bootstrap == address
        assert read_all(address, "kept") == [b"before the restart", b"before the crash"]
        last_pid = broker.pid
    assert gone(last_pid)


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_a_folder_may_have_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locale: str) -> None:
    # Kafka splits log.dirs at commas, java.util.Properties interprets \\ and \\u, Java decodes names by the locale.
    monkeypatch.setenv("LC_ALL", locale)
    folder = tmp_path / "jürgen x" / "a\\b\\u,c:d=e #!€ "
    with LocalBroker(folder) as broker:
        make_topic(broker.bootstrap, "kept")
        write(broker.bootstrap, "kept", b"a message")
        assert (folder / "data" / "kept-0").is_dir()
    assert [path.name for path in tmp_path.iterdir()] == ["jürgen x"]
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_folder_whose_name_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"j\xfcrgen")
    with pytest.raises(ServerFailed, match=r"the Kafka broker cannot run in b'.*j\\xfcrgen': the name is not UTF-8"):
        LocalBroker(folder).start()
    assert list(tmp_path.iterdir()) == []


def test_a_cache_folder_that_cannot_be_in_a_classpath_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a:b"))
    jars.jars_folder().mkdir(parents=True)
    with pytest.raises(ServerFailed, match="set XDG_CACHE_HOME to a folder without it"):
        LocalBroker(tmp_path / "kafka").start()


@pytest.mark.slow
def test_brokers_side_by_side_and_each_ends_alone(tmp_path: Path) -> None:
    with LocalBroker(tmp_path / "one") as one, LocalBroker(tmp_path / "two") as two:
        assert one.bootstrap != two.bootstrap
        for pid in (one.pid, two.pid):  # Java took the classes that were archived for both
            assert "/classes.jsa\n" in Path(f"/proc/{pid}/maps").read_text()
        ids = {(broker.folder / "data" / "meta.properties").read_text() for broker in (one, two)}
        assert len({line for text in ids for line in text.splitlines()}) == 6  # 2 of 4 lines are alike
        make_topic(one.bootstrap, "of-one")
        assert "of-one" not in AdminClient({"bootstrap.servers": two.bootstrap}).list_topics(timeout=10).topics
        check_that_a_misspelled_topic_stays_unknown(one.bootstrap)
        check_that_an_error_quotes_the_end_of_the_log(tmp_path / "three", two.port)
        one.kill()
        assert len(AdminClient({"bootstrap.servers": two.bootstrap}).list_topics(timeout=10).brokers) == 1
        with pytest.raises(ServerFailed, match="is not running"):
            _ = one.pid


def check_that_a_misspelled_topic_stays_unknown(bootstrap: str) -> None:
    client = AdminClient({"bootstrap.servers": bootstrap})
    assert client.list_topics("mispelled", timeout=10).topics["mispelled"].error.name() == "UNKNOWN_TOPIC_OR_PART"
    assert "mispelled" not in client.list_topics(timeout=10).topics


def check_that_an_error_quotes_the_end_of_the_log(folder: Path, port: int) -> None:
    with pytest.raises(ServerFailed, match="ended by itself with exit code 1") as raised:
        LocalBroker(folder, port=port).start()
    assert "Address already in use" in str(raised.value)
    assert str(folder / "kafka.log") in str(raised.value)


def run_starter(folder: Path, then: str, *, outlive: bool) -> "subprocess.Popen[str]":
    program = (
        "import sys, time; from pathlib import Path; from local.broker import LocalBroker\n"
        f"broker = LocalBroker(Path({str(folder)!r}), outlive={outlive}).start()\n"
        f"print(broker.pid, broker.bootstrap, flush=True)\n{then}\n"
    )
    return subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_ends_with_a_starter_that_is_killed(tmp_path: Path) -> None:
    with run_starter(tmp_path / "kafka", "time.sleep(600)", outlive=False) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline().split()[0])
        assert record.process_began(pid) is not None
        starter.kill()
        starter.wait()
        assert gone(pid)


def test_outlives_its_starter_where_asked_and_is_found_and_ended_by_its_record(tmp_path: Path) -> None:
    folder = tmp_path / "kafka"
    with run_starter(folder, "", outlive=True) as starter:
        assert starter.stdout is not None
        pid, address = starter.stdout.readline().split()
        assert starter.wait() == 0
    try:
        kept = record.Record.read(folder / "kafka.json")
        assert kept is not None
        assert (kept.pid, kept.address) == (int(pid), address)
        with pytest.raises(ServerFailed, match=f"a server runs on .* already: pid {pid}, address {address}"):
            LocalBroker(folder).start()
    finally:
        assert record.stop(folder / "kafka.json") is True
    assert gone(int(pid))
    assert record.stop(folder / "kafka.json") is False


def test_says_so_when_it_is_not_started(tmp_path: Path) -> None:
    with pytest.raises(ServerFailed, match="has not been started"):
        _ = LocalBroker(tmp_path).bootstrap


def test_names_java_when_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ServerFailed, match="Java was not found: install 17 or newer"):
        LocalBroker(tmp_path).start()
