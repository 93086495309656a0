"""An account's state where this machine has it: the worker's own, when it is as new as what is decided.

A request never replays the log. So the state of a worker on this machine is used as it stands, and only while no other
worker is further: that of a partition which moved away would say what was true then.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from application.errors import ErrorCode, Failed, Misconfigured
from application.pipeline import Pipeline
from replay.account import AccountReplay, is_account_id
from replay.bases import BasePlaces, workers_state
from streams import clock
from streams.log.partitioner import partition_of
from streams.state.store import Identity

_TRIES = 5
_PAUSE = 0.1


class StateAtHand(NamedTuple):
    """The account as it stands, up to `place` (topic[partition]@offset). `replay` was not run and is not to be."""

    replay: AccountReplay
    place: str


@contextmanager
def state_at_hand(pipeline: Pipeline, account_id: str) -> Iterator[StateAtHand]:
    """The account's present state, only to be read. Raises Failed (UNAVAILABLE) with the reason where it is not here.

    Raises Misconfigured for an id that no account can have, LogError.
    """
    if not is_account_id(account_id):
        raise Misconfigured(f"{account_id!r} is no account's id: it has 1 to 128 characters")
    partition = partition_of(account_id, pipeline.partitions)
    identity = Identity(pipeline.names.requests, partition, pipeline.log_id)
    places = BasePlaces(identity, pipeline.input_log, pipeline.places.data, pipeline.places.states)
    reason = "no worker on this server's machine has it"
    for _ in range(_TRIES):
        decided = _decided(pipeline, partition)
        base = workers_state(places, _unsaid)
        if base is None:
            break
        if base.applied + 1 >= decided:
            try:
                replay = AccountReplay(pipeline.replay_source, account_id, base)
                yield StateAtHand(replay, f"{replay.place}@{base.applied}")
            finally:
                base.close()
            return
        base.close()
        reason = f"a worker elsewhere is at {decided}, the state on this server's machine at {base.applied + 1}"
        clock.sleep(_PAUSE)
    raise Failed(
        f"the account's state is not at hand: {reason}. Nothing was stored; `creditmeter estimate` replays the log",
        ErrorCode.UNAVAILABLE,
    )


def _unsaid(_remark: str) -> None:
    """Places on a server's disk are nothing for its clients."""


def _decided(pipeline: Pipeline, partition: int) -> int:
    """The offset up to which the partition is decided, by whichever worker."""
    topic = pipeline.names.requests
    committed = pipeline.connections.group(pipeline.names.rating_group).committed([topic], pipeline.partitions)
    return committed.get((topic, partition), 0)
