"""The rating loop: a group of waiting messages in, acknowledged outputs and written state out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from streams.log.protocols import CatchUpInterrupted, Message
from streams.rating.outputs import Counts
from streams.rating.partition import PartitionRater, Wiring
from streams.state.store import StateStore

OpenState = Callable[[int], StateStore]
"""Opens the state of a partition; raises StateError."""


class RatingLoop:
    """Rates groups of messages of any of a worker's partitions. One thread at a time.

    Any exception ends the worker: nothing is skipped, and the next start goes on from what was written.
    """

    def __init__(self, wiring: Wiring, open_state: OpenState) -> None:
        self._wiring = wiring
        self._open_state = open_state
        self._raters: dict[int, PartitionRater] = {}

    @property
    def raters(self) -> dict[int, PartitionRater]:
        """The partitions at hand."""
        return self._raters

    def without_prices(self) -> list[int]:
        """The partitions at hand that have no price book in force."""
        return sorted(partition for partition, rater in self._raters.items() if not rater.has_prices)

    def abandon(self) -> None:
        """Lets a wait for Kafka end with DeliveryFailed, from any thread: the process is to stop."""
        self._wiring.output_log.abandon()

    def process(self, messages: Sequence[Message]) -> Counts:
        """Carries a group through, in this order; on return every message of it may be acknowledged to Kafka.

        1. decode each message and apply it on the partition's overlay;
        2. send its outputs, in order, leaving out those already in the topics;
        3. wait until the broker has acknowledged every one of them;
        4. write each partition's changes together with its applied offset.

        Raises CatchUpInterrupted where a catch-up was interrupted: then nothing of the group may be acknowledged. All
        that was applied is written, so that it is skipped when it is delivered again.
        """
        group: dict[int, list[Message]] = {}
        for message in messages:
            group.setdefault(message.partition, []).append(message)
        raters: list[PartitionRater] = []
        try:
            for partition, own in group.items():
                rater = self._rater(partition)
                raters.append(rater)
                rater.rate(own)
        except CatchUpInterrupted:
            self._settle(raters)
            raise
        self._settle(raters)
        return self._take_counts(raters)

    def _settle(self, raters: Iterable[PartitionRater]) -> None:
        self._wiring.output_log.wait()
        for rater in raters:
            rater.commit()

    def assign(self, partitions: Iterable[int]) -> None:
        """Opens partitions that are now this worker's. Raises LogChanged where the log is another one, StateError."""
        for partition in partitions:
            self._rater(partition)

    def release(self, partitions: Iterable[int]) -> None:
        """Closes partitions that now belong to another worker; call it between two groups."""
        for partition in partitions:
            rater = self._raters.pop(partition, None)
            if rater is not None:
                rater.close()

    def close(self) -> None:
        """Closes every partition. What was not committed is read from the log again."""
        self.release(list(self._raters))

    def _rater(self, partition: int) -> PartitionRater:
        rater = self._raters.get(partition)
        if rater is None:
            rater = PartitionRater(self._wiring, partition, self._open_state(partition))
            try:
                rater.check_log()
            except BaseException:
                rater.close()
                raise
            self._raters[partition] = rater
        return rater

    @staticmethod
    def _take_counts(raters: list[PartitionRater]) -> Counts:
        total = Counts()
        for rater in raters:
            total.add(rater.counts)
            rater.counts = Counts()
        return total
