"""Thousands of seeded accidents against the real rating loop: readers always see the undisturbed bill.

CREDITMETER_SIMULATIONS sets how many seeds are run, CREDITMETER_SEED the first of them (one printed by a failure).
"""

from __future__ import annotations

import os

import msgpack
import pytest

from metering.store import ACCOUNT, CLAIM, EVENT
from tests.streams.simulation import Cluster

RUNS = int(os.environ.get("CREDITMETER_SIMULATIONS", "1000"))
FIRST = int(os.environ.get("CREDITMETER_SEED", "1"))
SHARDS = 8


@pytest.mark.parametrize("shard", range(SHARDS))
def test_any_accidents_leave_the_same_bill(shard: int) -> None:
    for seed in range(FIRST + shard, FIRST + RUNS, SHARDS):
        check(seed)


def check(seed: int) -> None:
    quiet = Cluster(seed)
    expected = quiet.run_undisturbed()
    disturbed = Cluster(seed)
    found = disturbed.run_with_accidents()
    story = f"seed {seed}; run again with CREDITMETER_SEED={seed} CREDITMETER_SIMULATIONS=1; {disturbed.accidents}"
    assert any(values for (topic, _), values in expected.items() if topic == "sim.billed"), (
        f"nothing was billed: the simulation tests nothing ({story})"
    )
    assert found == expected, story
    for partition, rows in disturbed.states().items():
        assert _live(rows) == _live(quiet.states()[partition]), story


def _live(rows: dict[bytes, bytes]) -> dict[bytes, object]:
    """A state without what clean-up takes away sooner or later: when it does so is no part of what is true."""
    live: dict[bytes, object] = {}
    for key, packed in rows.items():
        if key[:1] in (CLAIM, EVENT):
            continue
        row = msgpack.unpackb(packed, strict_map_key=False)
        if key[:1] == ACCOUNT:
            stream_time, floor, _swept_at, *settings, balances = row
            unused = {name: [debt, [g for g in grants if g[3]]] for name, (debt, grants) in balances.items()}
            row = [stream_time, floor, *settings, unused]
        live[key] = row
    return live


def test_the_simulation_has_accidents_of_every_kind() -> None:
    """Guards the test above: were the accidents to stop, it could not fail."""
    text = " ".join(accident for seed in range(1, 60) for accident in _accidents(seed))
    for kind in ("Crash send", "Crash append", "Crash acknowledge", "Crash return", "Crash before", "Crash after",
                 "DeliveryFailed", "rebalance", "power loss", "gone"):  # fmt: skip
        assert kind in text, f"no accident of the kind {kind!r} in 59 runs"


def _accidents(seed: int) -> list[str]:
    cluster = Cluster(seed)
    cluster.run_with_accidents()
    return cluster.accidents
