"""A pipeline's seals in Kafka: the ledger opened for readers, begun by the first process, continued by a rotation."""

from __future__ import annotations

import logging
from contextlib import closing
from typing import TYPE_CHECKING

from streams import clock
from streams.log.group_offsets import GroupOffsets
from streams.log.input_log import KafkaInputLog
from streams.log.output_log import KafkaOutputLog
from streams.log.protocols import LogError
from streams.log.reader import KafkaReader
from streams.log.seal_ledger import SealKeys, SealLedger, note_of
from streams.log.seals import Sealer
from streams.log.topic_admin import TopicAdmin

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from streams.log.protocols import InputLog, Message
    from streams.log.topics import TopicNames

logger = logging.getLogger(__name__)

PATIENCE = 60.0
"""Seconds that the first process with seals waits for workers of an earlier version to leave."""
_PAUSE = 1.0
_TIMEOUT = 15.0


class WorkersRun(LogError):
    """Workers run that must not; the message says which and what to do."""


class PipelineSeals:
    """One pipeline's seals. `keys` are those of the configuration."""

    def __init__(
        self,
        bootstrap: str,
        names: TopicNames,
        keys: SealKeys,
        security: Mapping[str, str] | None = None,
        ledger_log: KafkaInputLog | None = None,
    ) -> None:
        """`ledger_log`: the caller's log of the topic of seals, which stays the caller's; None: a client of its own."""
        self._bootstrap = bootstrap
        self._names = names
        self._keys = keys
        self._security = security
        self._ledger_log = ledger_log
        self._opened: list[KafkaInputLog] = []

    def close(self) -> None:
        """Lets go of the clients of every ledger opened."""
        for opened in self._opened:
            opened.close()

    def opened(self) -> SealLedger:
        """For readers. Before any process with seals has run every record counts. Raises SealKeyWrong, LogError."""
        return SealLedger(self._names, self._keys, self._ledger())

    def begun(self, partitions: int, patience: float = PATIENCE) -> SealLedger:
        """For workers and loaders: the ledger, after its first note is written where there was none.

        Then whoever is in the rating group is of an earlier version and does not seal: it must leave first, else what
        it still sends would count nowhere. Raises WorkersRun after `patience` seconds, SealKeyWrong, LogError.
        """
        ledger = self.opened()
        if ledger.notes:
            return ledger
        deadline = clock.monotonic() + patience
        while (members := self._members()) and not ledger.notes:
            if clock.monotonic() >= deadline:
                raise WorkersRun(
                    f"{members} workers of a version that does not seal its outputs are in {self._names.rating_group}: "
                    "stop every worker and loader, then start those of this version (docs/operations.md, Seals)"
                )
            logger.warning("%d workers in %s: waiting until they have left", members, self._names.rating_group)
            clock.sleep(_PAUSE)
            ledger.refresh()
        if not ledger.notes:
            self._append(self._outputs(partitions))
            ledger.refresh()
        return ledger

    def rotate(self, partitions: int) -> SealLedger:
        """From the outputs' present ends on the configured key is the one. Raises WorkersRun, LogError.

        Every key noted before must be among the configured ones, and no worker may run: it seals with the old key. Nor
        may a server, which Kafka does not show: what it would still write of access would count nowhere.
        """
        if members := self._members():
            raise WorkersRun(
                f"{members} workers are in {self._names.rating_group}: stop every worker and loader before the key is "
                "rotated, and give all of them the new one"
            )
        ledger = self.opened()
        places = self._outputs(partitions)
        admin = TopicAdmin(self._bootstrap, self._security, _TIMEOUT)
        for topic, described in admin.describe([self._names.access, self._names.deliveries]).items():
            places += [(topic, partition) for partition in range(len(described.partitions))]
        self._append(places)
        ledger.refresh()
        return ledger

    def _outputs(self, partitions: int) -> list[tuple[str, int]]:
        """Every partition of every output topic. In those of access and of deliveries nothing counts unsealed."""
        return [(topic, partition) for topic in self._names.outputs for partition in range(partitions)]

    def _append(self, places: list[tuple[str, int]]) -> None:
        """Adds a note with the present ends of these topics and partitions, sealed with the present key."""
        with closing(KafkaReader(self._bootstrap, security=self._security)) as reader:
            ends = {place: reader.bounds(*place)[1] for place in places}
        out = KafkaOutputLog(
            self._bootstrap, lambda _value: (0, 0), security=self._security, seals=Sealer(self._keys.present)
        )
        with closing(out):
            out.send(self._names.seals, 0, note_of(self._keys, ends))
            out.wait()
        logger.info("noted in %s: outputs are sealed from their present ends on", self._names.seals)

    def _members(self) -> int:
        with closing(GroupOffsets(self._bootstrap, self._names.rating_group, self._security)) as group:
            return group.members().processes

    def _ledger(self) -> InputLog:
        if self._names.seals not in TopicAdmin(self._bootstrap, self._security, _TIMEOUT).describe([self._names.seals]):
            return _NoLedger()
        if self._ledger_log is not None:
            return self._ledger_log
        made = KafkaInputLog(self._bootstrap, self._names.seals, security=self._security)
        self._opened.append(made)
        return made


class _NoLedger:
    """The ledger where there is no topic for it: a pipeline of an earlier version."""

    def bounds(self, partition: int) -> tuple[int, int]:  # noqa: ARG002 -- as InputLog
        return 0, 0

    def read(self, partition: int, first: int, stop: int) -> Iterator[Message]:  # noqa: ARG002
        return iter(())
