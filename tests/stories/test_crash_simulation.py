"""Seeded accidents against the real rating loop: readers always see the undisturbed bill, and audits agree.

CREDITMETER_SIMULATIONS sets how many seeds are run, CREDITMETER_SEED the first of them (one printed by a failure).
"""

from __future__ import annotations

import os
from collections import Counter
from functools import partial
from typing import NamedTuple

import pytest

from metering.records import AlertKind, DeadLetterReason, Decision, GrantStatus, HoldStatus, RejectReason
from replay.audit.partition import Against
from tests.replay.audit.audited import Audited, items
from tests.sizes import times_size
from tests.streams.simulation import NAMES, PARTITIONS, SLICED, Cluster, Machine, View

pytestmark = pytest.mark.slow

RUNS = int(os.environ.get("CREDITMETER_SIMULATIONS") or times_size(40))
FIRST = int(os.environ.get("CREDITMETER_SEED", "1"))
SHARDS = 8
GUARDED = 40
"""Runs in which every kind of accident and outcome comes up."""
MET: dict[int, Counter[str]] = {}
"""By seed, the outcomes of the undisturbed run."""
HAPPENED: dict[int, Happened] = {}
"""By seed, what happened in the disturbed run. The guards look at runs that were made already."""


class Happened(NamedTuple):
    """`strays`: records of somebody else; `compared`: states that have the whole log."""

    accidents: list[str]
    strays: int
    compared: int


def run_undisturbed(seed: int) -> tuple[Cluster, View]:
    """Also notes the outcomes of a guarded run."""
    cluster = Cluster(seed)
    view = cluster.run_undisturbed()
    if seed <= GUARDED:
        MET[seed] = outcomes(cluster)
    return cluster, view


def run_disturbed(seed: int) -> tuple[Cluster, View]:
    """Also notes what happened."""
    cluster = Cluster(seed, strangers=True, slicing=SLICED)
    view = cluster.run_with_accidents()
    HAPPENED[seed] = Happened(list(cluster.accidents), cluster.strays, len(cluster.disks_at_the_end()))
    return cluster, view


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(SHARDS))
def test_any_accidents_leave_the_same_bill(shard: int) -> None:
    for seed in range(FIRST + shard, FIRST + RUNS, SHARDS):
        check(seed)


def check(seed: int) -> None:
    undisturbed, expected = run_undisturbed(seed)
    disturbed, accidents = run_disturbed(seed)
    story = f"seed {seed}; run again with CREDITMETER_SEED={seed} CREDITMETER_SIMULATIONS=1; {disturbed.accidents}"
    assert any(values for (topic, _), values in expected.items() if topic == NAMES.billed), (
        f"nothing was billed: the simulation tests nothing ({story})"
    )
    assert accidents == expected, story
    assert disturbed.load_all().rows == undisturbed.load_all().rows, f"the rows differ; {story}"
    for machine in disturbed.machines:
        audited = Audited(disturbed).run(partial(with_state, machine))
        strays = [
            difference for difference in audited.differences if difference.detail.startswith("a stray record, with ")
        ]
        others = [difference for difference in audited.differences if difference not in strays]
        assert not others, f"{others[0]}; {story}"
        assert len(strays) == disturbed.strays, f"{disturbed.strays} stray records, the audit names {strays}; {story}"
        assert not audited.gaps, f"{audited.gaps}; {story}"


def with_state(machine: Machine, partition: int) -> Against:
    state = machine.disk.get(partition)
    return Against(state=None if state is None else state.reopen())


def test_the_simulation_has_accidents_of_every_kind() -> None:
    """Guards the test above: were the accidents to stop, or all the states to be lost, it could not fail."""
    accidents: list[str] = []
    compared = strays = 0
    for seed in range(1, GUARDED + 1):
        if seed not in HAPPENED:
            run_disturbed(seed)
        accidents += HAPPENED[seed].accidents
        strays += HAPPENED[seed].strays
        compared += HAPPENED[seed].compared
    text = " ".join(accidents)
    kinds = [
        "Crash step",
        "Crash send",
        "Crash append",
        "Crash acknowledge",
        "Crash return",
        "Crash before",
        "Crash after",
    ]
    kinds += ["DeliveryFailed", "rebalance", "power loss", "gone", "restored", "gave way"]
    kinds += ["loader: before rows", "loader: after rows", "loader: before positions", "loader: after positions"]
    for kind in (*kinds, "store restored", "store emptied"):
        assert kind in text, f"no accident of the kind {kind!r} in {GUARDED} runs"
    assert strays > GUARDED * 3, "records that somebody else put into the output topics"
    assert compared > GUARDED * PARTITIONS * 0.7, "states that have the whole log are what the audits compare last"


def test_the_simulation_has_outcomes_of_every_kind() -> None:
    """Guards it, too: every way in which a command can end, and credits can go back, is in the traffic."""
    met: Counter[str] = Counter()
    for seed in range(1, GUARDED + 1):
        if seed not in MET:
            run_undisturbed(seed)
        met += MET[seed]
    wanted = {
        str(member) for kind in (Decision, RejectReason, GrantStatus, AlertKind, DeadLetterReason) for member in kind
    }
    wanted |= {"refunded in part", "refunded in full", "forfeited", "several grants used", "a refund's grant used"}
    wanted |= {f"hold {status}" for status in HoldStatus} | {
        "a line on a hold",
        "the same again",
        "another under its id",
    }
    assert not wanted - met.keys(), f"no traffic of these kinds in {GUARDED} runs"


def outcomes(cluster: Cluster) -> Counter[str]:
    met: Counter[str] = Counter()
    for line in items(cluster, NAMES.billed, "events"):
        uses = [use["grant_id"] for use in line["grants_used"]]
        met[line["decision"]] += 1
        met["several grants used"] += len(uses) > 1
        met["a refund's grant used"] += any(grant_id.startswith("refund:") for grant_id in uses)
    for refund in items(cluster, NAMES.refunds, "refunds"):
        met[refund["reject_reason"] or ("refunded in part" if refund["remaining_charge"] else "refunded in full")] += 1
        met["forfeited"] += refund["forfeited"] > 0
    met.update(f"hold {hold['status']}" for hold in items(cluster, NAMES.holds, "holds"))
    met["a line on a hold"] += sum(line["hold_id"] is not None for line in items(cluster, NAMES.billed, "events"))
    for repeat in items(cluster, NAMES.billed, "repeated"):
        met["the same again" if repeat["same_content"] else "another under its id"] += 1
    met.update(grant["status"] for grant in items(cluster, NAMES.grants, "grants"))
    met.update(alert["kind"] for alert in items(cluster, NAMES.alerts, "alerts"))
    met.update(letter["reason"] for letter in items(cluster, NAMES.dead_letters, "dead_letters"))
    return +met
