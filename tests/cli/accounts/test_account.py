"""`creditmeter account show` on a real broker with a real worker: what the log says of an account, from any base."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from metering.state import State
from schemas.price_book import read_book
from streams.checkpoints.checkpoints import Checkpoints
from streams.log.input_log import KafkaInputLog
from streams.log.partitioner import partition_of
from streams.log.topics import check_topics
from streams.rating.deciding import apply_message
from streams.rating.partition import Wiring
from streams.state.rocks_folder import RocksFolder
from streams.state.store import Identity
from tests.harness import Pipeline

pytestmark = pytest.mark.kafka

Run = Callable[..., Result]
AT = 1_767_312_000_000
HOUR = 3_600_000
LOOKUP = {"account_id": "acme", "endpoint": "/v1/ip-lookup", "channel": "api"}
FAR = 4_102_444_800_000  # 2100-01-01


@pytest.fixture
def elsewhere(rated: Pipeline, run: Run, tmp_path: Path) -> Run:
    """The command on a machine without the worker's state."""
    config = tmp_path / "elsewhere.toml"
    config.write_text(f'bootstrap_servers = "{rated.bootstrap}"\ntopic_prefix = "{rated.names.prefix}"\n')
    return lambda *arguments, **more: run("--config", config, *arguments, **more)


def commands() -> list[dict[str, Any]]:
    grant = {"type": "grant", "account_id": "acme", "credit_type": "credit", "granted_at": AT}
    return [
        {
            "type": "account", "update_id": "u", "account_id": "acme", "on_empty": "allow", "at": AT,
            "plan": {"name": "small", "started_at": AT, "ends_at": AT + HOUR}, "alert_below": {"credit": 10},
        },
        grant | {"grant_id": "ever", "credits": 50},
        grant | {"grant_id": "old", "credits": 30, "expires_at": AT + 30 * HOUR},
        grant | {"grant_id": "until-2100", "credits": 25, "expires_at": FAR},
        *(LOOKUP | {"event_id": f"e{n}", "occurred_at": AT + n * HOUR, "ip": f"192.0.2.{n % 2}"} for n in range(4)),
        LOOKUP | {"event_id": "page", "occurred_at": AT + 5 * HOUR, "endpoint": "/v1/pageview"},
        {"type": "refund", "refund_id": "r", "account_id": "acme", "event_id": "e1", "requested_at": AT + 6 * HOUR},
    ]  # fmt: skip


@pytest.fixture
def emitted(here: Run, rated: Pipeline) -> None:
    """The account's commands are in the log, once: sent again they change nothing."""
    assert here("emit", stdin="\n".join(map(json.dumps, commands()))).exit_code == 0
    rated.wait_until_rated()


def show(run: Run, *options: str) -> dict[str, Any]:
    result = run("account", "show", "acme", "--json", *options)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)  # type: ignore[no-any-return]


@pytest.mark.usefixtures("emitted")
def test_everything_of_an_account(here: Run, rated: Pipeline) -> None:
    shown = show(here)
    grants = [
        {"grant_id": "until-2100", "left": 24, "expires_at": FAR, "reason": ""},
        {"grant_id": "ever", "left": 50, "expires_at": None, "reason": ""},
    ]
    amounts = {"balance": 74, "held": 0, "available": 74, "debt": 0, "over": 10}
    assert shown["balances"] == {"credit": amounts | {"grants": grants}}
    assert shown["holds"] == []
    assert shown["plan"] == {"name": "small", "started_at": AT, "ends_at": AT + HOUR, "counts": False}
    assert (shown["on_empty"], shown["alert_below"]) == ("allow", {"credit": 10})
    assert shown["stream_time"] == AT + 6 * HOUR
    claim = {"charge": "ip-lookup", "subject": {"ip": "192.0.2.0"}, "owner_event_id": "e0", "owner_at": AT}
    assert shown["claims"] == {
        "kept": 1, "by_charge": {"ip-lookup": 1}, "newest": [claim | {"window_ends_at": AT + 24 * HOUR}]
    }  # fmt: skip
    assert shown["ids_remembered"] == {"events": 5, "refunds": 1, "grants": 3, "account updates": 1}
    lines = [(line["event_id"], line["decision"], line["credits"]) for line in shown["lines"]]
    assert lines == [
        ("e0", "charged", 20), ("e1", "charged", 20), ("e2", "duplicate", 0), ("e3", "duplicate", 0),
        ("page", "charged", 1),
    ]  # fmt: skip
    partition = partition_of("acme", 2)
    log = KafkaInputLog(rated.bootstrap, rated.names.requests)
    assert (shown["place"], shown["offset"]) == (f"{rated.names.requests}[{partition}]", log.bounds(partition)[1] - 1)
    log.close()
    assert [line["event_id"] for line in show(here, "--lines", "2", "--claims", "0")["lines"]] == ["e3", "page"]


@pytest.mark.usefixtures("emitted")
def test_it_is_the_same_from_the_workers_state_and_from_the_beginning(here: Run, elsewhere: Run) -> None:
    near, far = show(here), show(elsewhere)
    assert (near.pop("base"), far.pop("base")) == ("the worker's state", "the log's beginning")
    assert near.pop("shown_at") <= far.pop("shown_at")
    assert near == far
    assert "is not on this machine" in elsewhere("account", "show", "acme").stderr


def keep_checkpoint(pipeline: Pipeline, url: Path, scratch: Path, stop: int) -> None:
    """What a worker elsewhere keeps when it has the account's partition up to before `stop`."""
    names, partition = pipeline.names, partition_of("acme", 2)
    log_id = check_topics(pipeline.bootstrap, names)[names.requests]
    store = RocksFolder(scratch).open(Identity(names.requests, partition, log_id))
    log, state = KafkaInputLog(pipeline.bootstrap, names.requests), State(store, read_book)
    wiring = Wiring(names, 2, pipeline.codec, read_book, log, pipeline.sender)
    for message in log.read(partition, 0, stop):
        apply_message(wiring, state, message)
    store.commit(state.changes(), stop - 1)
    store.checkpoint(scratch / "copy")
    store.close()
    log.close()
    Checkpoints(str(url), names.requests, log_id).save(partition, stop - 1, None, scratch / "copy")


@pytest.mark.usefixtures("emitted")
def test_it_is_the_same_from_a_checkpoint(
    here: Run, elsewhere: Run, rated: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_checkpoint(rated, tmp_path / "kept", tmp_path / "scratch", stop=4)
    monkeypatch.setenv("CREDITMETER_CHECKPOINT_URL", str(tmp_path / "kept"))
    near, far = show(here), show(elsewhere)
    assert near.pop("base") == "the worker's state"
    assert far.pop("base").startswith("the checkpoint ")
    assert near.pop("shown_at") <= far.pop("shown_at")
    assert near == far


@pytest.mark.usefixtures("emitted")
def test_for_people(here: Run) -> None:
    shown = here("account", "show", "acme")
    assert shown.exit_code == 0
    text = " ".join(shown.stdout.split())
    assert "plan small from 2026-01-02T00:00:00Z until 2026-01-02T01:00:00Z (not now)" in text
    assert "alert below credit 10" in text
    assert "credit 74 0 74 74 0" in text
    assert "10 credit are over by their time" in text
    assert "ip-lookup ip 192.0.2.0 e0 2026-01-02T00:00:00Z 2026-01-03T00:00:00Z" in text
    assert "2026-01-02T05:00:00Z page /v1/pageview pageview charged 1 credit" in text
    assert ", replayed from the worker's state" in shown.stderr


@pytest.mark.usefixtures("emitted")
def test_nobody_knows_it(here: Run) -> None:
    result = here("account", "show", "acne")
    assert result.exit_code == 1
    assert "acne: no such account" in result.stderr
    assert here("account", "show", "").exit_code == 2
    assert here("account", "show", "a" * 129).exit_code == 2
