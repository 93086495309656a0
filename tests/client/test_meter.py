"""The meter as an application sees it: threads, asyncio, forks, ends, questions."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from creditmeter_client import (
    Decision,
    DecisionStatus,
    Event,
    HoldStatus,
    Meter,
    MeterSettings,
    MeterUnavailable,
    NotSupported,
    Outcome,
    Usage,
)
from creditmeter_client.testing import MemoryTransport, Price

from tests.client.scripted import ScriptedTransport

PRICES = {"/v1/people": Price(2, per="results")}
CLIENT = Path(__file__).parents[2] / "client"


def test_the_fields_of_a_record_arrive() -> None:
    transport = MemoryTransport(PRICES)
    with Meter(transport) as meter:
        event_id = meter.record(
            account_id="acme", endpoint="/v1/people", actor="zoë", quantities={"results": 3}, ip="192.0.2.1",
            attributes={"mode": "deep"}, outcome=Outcome.FAILED, occurred_at=1_770_000_000_000,
        )  # fmt: skip
    (event,) = transport.events
    assert dict(event.fields) == {
        "event_id": event_id, "account_id": "acme", "occurred_at": 1_770_000_000_000, "endpoint": "/v1/people",
        "channel": "api", "outcome": "failed", "actor": "zoë", "ip": "192.0.2.1", "quantities": {"results": 3},
        "attributes": {"mode": "deep"},
    }  # fmt: skip


@pytest.mark.parametrize(
    "fields",
    [{}, {"account_id": "acme"}, {"account_id": 7, "endpoint": "/x"}, {"account_id": "a", "endpoint": "/x", "no": 1},
     {"account_id": "a", "endpoint": "/x", "quantities": {"n": 1.0}}, {"account_id": "a" * 129, "endpoint": "/x"},
     {"account_id": "a", "endpoint": "/x", "quantities": 7}, {"account_id": "a", "endpoint": "/x", "ip": "\ud800"},
     {"account_id": "a", "endpoint": "/x", "quantities": {"n": True}}, {"account_id": "a", "endpoint": object()},
     {"account_id": "a", "endpoint": "/x", "occurred_at": 1_770_000_000}],
)  # fmt: skip
def test_whatever_is_recorded_nothing_is_raised_and_what_is_wrong_is_reported(fields: dict[str, object]) -> None:
    with Meter(MemoryTransport()) as meter:
        event_id = meter.record(**fields)
        assert meter.counts().refused == 1
        assert meter.failed()[-1].command_id == event_id or "event_id" in meter.failed()[-1].reason


def test_threads_record_at_once() -> None:
    transport = MemoryTransport(PRICES)
    with Meter(transport) as meter:
        threads = [
            threading.Thread(target=lambda: [meter.record(account_id="a", endpoint="/x") for _ in range(200)])
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert meter.flush(60)
        assert meter.pending() == 0
    assert len({event.event_id for event in transport.events}) == 1_600


def test_no_thread_begins_before_the_first_record() -> None:
    before = threading.active_count()
    meter = Meter(MemoryTransport())
    assert threading.active_count() == before
    meter.close()


def test_deciding_tells_what_it_cost() -> None:
    transport = MemoryTransport(PRICES, {"acme": {"credit": 5}})
    with Meter(transport) as meter:
        decision = meter.decide(account_id="acme", endpoint="/v1/people", quantities={"results": 2}, wait=30)
        assert (decision.status, decision.credits, decision.insufficient) == (DecisionStatus.DECIDED, 4, False)
        decision = meter.decide(Usage("acme", "/v1/people", quantities={"results": 1}), wait=30)
        assert (decision.credits, decision.insufficient) == (0, True)
        assert meter.counts().delivered == 2
    assert len(transport.events) == 2


def test_a_decision_that_does_not_come_is_pending_and_the_event_is_sent_once() -> None:
    transport = MemoryTransport(PRICES)
    transport.available = False
    with Meter(transport) as meter:
        decision = meter.decide(account_id="acme", endpoint="/v1/people", wait=30)
        assert decision.status is DecisionStatus.PENDING
        assert decision.credits is None
        assert meter.pending() == 1
        transport.available = True
    assert [event.event_id for event in transport.events] == [decision.event_id]


def test_a_slow_decision_is_not_waited_for_and_its_event_not_sent_twice() -> None:
    go_on = threading.Event()

    class Slow(MemoryTransport):
        def decide(self, events: Sequence[Event], wait: float) -> list[Decision]:
            go_on.wait(60)
            return super().decide(events, wait)

    transport = Slow(PRICES)
    meter = Meter(transport)
    assert meter.decide(account_id="acme", endpoint="/v1/people", wait=0.01).status is DecisionStatus.PENDING
    assert meter.pending() == 1
    go_on.set()
    assert meter.flush(60)
    meter.close()
    assert transport.received == 1


def test_what_is_wrong_is_decided_invalid() -> None:
    with Meter(MemoryTransport()) as meter:
        decision = meter.decide(account_id="acme", endpoint="", wait=30)
    assert decision.status is DecisionStatus.INVALID
    assert [mistake.pointer for mistake in decision.mistakes] == ["/endpoint"]


def test_holds_are_held_rejected_and_released() -> None:
    transport = MemoryTransport(PRICES, {"acme": {"credit": 10}})
    with Meter(transport) as meter:
        hold = meter.hold("acme", credits={"credit": 8}, wait=30)
        assert hold.status is HoldStatus.HELD
        rejected = meter.hold("acme", usage=Usage("acme", "/v1/people", quantities={"results": 2}), wait=30)
        assert (rejected.status, rejected.available) == (HoldStatus.REJECTED, {"credit": 2})
        meter.release(hold)
        assert meter.flush(60)
        assert meter.hold("acme", credits={"credit": 10}, wait=30).status is HoldStatus.HELD
        with pytest.raises(ValueError, match="either the credits"):
            meter.hold("acme", wait=30)
        transport.available = False
        with pytest.raises(MeterUnavailable):
            meter.hold("acme", credits={"credit": 1}, wait=30)


def test_accounts_usage_and_estimates_are_asked() -> None:
    transport = MemoryTransport(PRICES, {"acme": {"credit": 10}})
    with Meter(transport) as meter:
        meter.decide(account_id="acme", endpoint="/v1/people", quantities={"results": 2}, wait=30)
        assert meter.account("acme")["credits"] == {"credit": {"balance": 6}}
        assert [row["credits"] for row in meter.usage("acme", endpoint="/v1/people")] == [4]
        estimate = meter.estimate("acme", [Usage("acme", "/v1/people", quantities={"results": n}) for n in (2, 1)])
        assert (estimate.credits, estimate.suffices, estimate.refused_events) == ({"credit": 6}, True, 0)


def test_everything_is_there_for_asyncio() -> None:
    transport = MemoryTransport(PRICES, {"acme": {"credit": 10}})

    async def run() -> None:
        meter = Meter(transport)
        decisions = await asyncio.gather(
            *(
                meter.aio.decide(account_id="acme", endpoint="/v1/people", quantities={"results": 1}, wait=30)
                for _ in range(4)
            )
        )
        assert [decision.credits for decision in decisions] == [2] * 4
        assert (await meter.aio.hold("acme", credits={"credit": 3}, wait=30)).status is HoldStatus.REJECTED
        assert (await meter.aio.account("acme"))["credits"] == {"credit": {"balance": 2}}
        assert len([row async for row in meter.aio.usage("acme")]) == 4
        assert (await meter.aio.estimate("acme", [Usage("acme", "/v1/people")])).credits == {"credit": 0}
        assert await meter.aio.flush(30)
        assert await meter.aio.close(30)

    asyncio.run(run())


def test_a_transport_that_only_sends_says_so() -> None:
    with Meter(ScriptedTransport()) as meter, pytest.raises(NotSupported, match="HttpTransport"):
        meter.decide(account_id="a", endpoint="/x")


def test_settings_name_all_their_mistakes() -> None:
    with pytest.raises(ValueError, match=r"queue_events.*linger.*batch_events.*durable"):
        MeterSettings(queue_events=0, batch_events=5_001, linger=-1.0, durable=True)


def test_recording_after_the_end_is_reported() -> None:
    meter = Meter(MemoryTransport())
    meter.close()
    meter.record(account_id="a", endpoint="/x")
    assert "the queue is full" in meter.failed()[0].reason or "closed" in meter.failed()[0].reason


def test_a_ticker_is_asked_once_more_at_the_end() -> None:
    from creditmeter_client.usage import event_of

    transport = MemoryTransport()
    meter = Meter(transport)
    asked: list[float] = []

    def ticker(now: float) -> list[Event]:
        asked.append(now)
        return [event_of(Usage("a", "/x"), now=1_770_000_000_000)] if now == float("inf") else []

    meter.add_ticker(ticker)
    meter.close(60)
    assert float("inf") in asked
    assert len(transport.events) == 1


# -- processes

PROGRAM = """
import os, sys
from creditmeter_client import Meter, MeterSettings
from creditmeter_client.results import Delivery, DeliveryStatus
from creditmeter_client.usage import id_of
from pathlib import Path

class FileTransport:
    def send(self, commands):
        with open(sys.argv[1], "a") as out:
            for command in commands:
                out.write(f"{os.getpid()} {id_of(command)}\\n")
        return [Delivery(DeliveryStatus.STORED)] * len(commands)
    def after_fork(self): pass
    def close(self): pass

class AwayTransport(FileTransport):
    def send(self, commands):
        from creditmeter_client import MeterUnavailable
        raise MeterUnavailable("away")
"""


def run(program: str, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", PROGRAM + textwrap.dedent(program), *arguments],
        env={**os.environ, "PYTHONPATH": str(CLIENT)}, check=check, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def received(file: Path) -> list[str]:
    return [line.split()[1] for line in file.read_text().splitlines()] if file.exists() else []


def test_a_process_that_forgets_to_close_delivers_at_its_end(tmp_path: Path) -> None:
    run(
        """
        meter = Meter(FileTransport(), settings=MeterSettings(linger=5.0))
        for number in range(100):
            meter.record(account_id="a", endpoint="/x", event_id=f"e{number}")
        """,
        str(tmp_path / "out"),
    )
    assert received(tmp_path / "out") == [f"e{number}" for number in range(100)]


def test_children_after_a_fork_deliver_their_own_and_the_parent_its_own(tmp_path: Path) -> None:
    """As gunicorn does with preload: the meter is made, and used, before the fork."""
    run(
        """
        meter = Meter(FileTransport(), settings=MeterSettings(linger=0.5, spool=Path(sys.argv[2])))
        meter.record(account_id="a", endpoint="/x", event_id="parent-before")
        children = []
        for number in range(3):
            child = os.fork()
            if child == 0:
                for event in range(10):
                    meter.record(account_id="a", endpoint="/x", event_id=f"child-{number}-{event}")
                sys.exit()
            children.append(child)
        meter.record(account_id="a", endpoint="/x", event_id="parent-after")
        assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
        """,
        str(tmp_path / "out"), str(tmp_path / "spool"),
    )  # fmt: skip
    expected = {"parent-before", "parent-after", *(f"child-{n}-{e}" for n in range(3) for e in range(10))}
    assert sorted(received(tmp_path / "out")) == sorted(expected)


def test_what_a_killed_process_had_recorded_durably_is_delivered_by_the_next(tmp_path: Path) -> None:
    killed = run(
        """
        meter = Meter(AwayTransport(), settings=MeterSettings(spool=Path(sys.argv[2]), durable=True))
        for number in range(50):
            meter.record(account_id="a", endpoint="/x", event_id=f"e{number}")
        os.kill(os.getpid(), 9)
        """,
        str(tmp_path / "out"), str(tmp_path / "spool"), check=False,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL
    run(
        """
        meter = Meter(FileTransport(), settings=MeterSettings(spool=Path(sys.argv[2])))
        meter.record(account_id="a", endpoint="/x", event_id="next")
        while meter.counts().delivered < 51:
            pass
        """,
        str(tmp_path / "out"), str(tmp_path / "spool"),
    )  # fmt: skip
    assert sorted(received(tmp_path / "out")) == sorted(["next", *(f"e{number}" for number in range(50))])
    assert list((tmp_path / "spool").glob("*.events")) == []


def test_an_end_with_the_meter_away_takes_no_longer_than_allowed_and_leaves_all_in_the_spool(tmp_path: Path) -> None:
    run(
        """
        meter = Meter(AwayTransport(), settings=MeterSettings(spool=Path(sys.argv[2]), exit_timeout=0.3))
        for number in range(50):
            meter.record(account_id="a", endpoint="/x", event_id=f"e{number}")
        """,
        str(tmp_path / "out"), str(tmp_path / "spool"),
    )  # fmt: skip
    spooled = b"".join(file.read_bytes() for file in (tmp_path / "spool").glob("*.events"))
    assert spooled.count(b'"event_id"') == 50
