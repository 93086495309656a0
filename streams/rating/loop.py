"""The rating loop: messages in, in turns of about 10 ms of work; acknowledged outputs and written state out.

While the broker acknowledges the outputs of one turn, the next one is worked on. A partition's group, that is what is
written together, ends after about a turn, too, so that nobody's decision waits behind another's bulk import. It is
longer where no other partition has anything to do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from streams import clock
from streams.log.protocols import CatchUpInterrupted, Message
from streams.rating.outputs import Counts, Group
from streams.rating.partition import MOST_LARGE_BYTES, PartitionRater, Wiring
from streams.state.store import StateStore

OpenState = Callable[[int], StateStore]
"""Opens the state of a partition; raises StateError."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long, in seconds, the rating loop works on one thing.

    ``turn``: a partition's turn, and a group while others wait. ``group``: a group at most; then the partition waits
    for its acknowledgements, even if nobody else has anything to do. ``look``: the longest wait for acknowledgements
    before new messages are looked for.
    """

    turn: float = 0.010
    group: float = 0.250
    look: float = 0.002


class RatingLoop:
    """Rates messages of any of a worker's partitions. One thread at a time.

    Any exception but CatchUpInterrupted ends the worker: nothing is skipped, and the next start goes on from what was
    written.
    """

    def __init__(
        self,
        wiring: Wiring,
        open_state: OpenState,
        pace: Pace | None = None,
        now: Callable[[], float] = clock.monotonic,
    ) -> None:
        self._wiring = wiring
        self._open_state = open_state
        self._pace = pace or Pace()
        self._now = now
        self._raters: dict[int, PartitionRater] = {}
        self._turns: deque[int] = deque()
        """The partitions at hand; the next turn is the first one's."""
        self._groups: list[Group] = []

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
        """Carries messages through; on return every one of them may be acknowledged to Kafka.

        Raises CatchUpInterrupted where a catch-up was interrupted: then none of them may be acknowledged.
        """
        self.take(messages)
        while self.is_busy:
            self.advance()
        return self.take_counts()

    def take(self, messages: Iterable[Message]) -> None:
        """Puts messages behind those that wait for their partition's turn."""
        for message in messages:
            self._rater(message.partition).add(message)

    @property
    def is_busy(self) -> bool:
        """Whether anything that was taken is not written yet."""
        return any(r.has_work or r.applied != r.store.applied for r in self._raters.values())

    def advance(self) -> None:
        """About a turn's work, or a short wait for acknowledgements where there is nothing to work on.

        1. Decides waiting messages, partition by partition, and queues their outputs (`PartitionRater`, effects 1, 2);
        2. takes in the broker's acknowledgements of what was sent, now and earlier (effect 3);
        3. writes the groups of all partitions whose outputs are all acknowledged (effect 4).

        Raises CatchUpInterrupted where a catch-up was interrupted: all that was applied is written then, so that it is
        skipped when it is delivered again; messages that waited are let go of.
        """
        try:
            has_worked = self._work()
        except CatchUpInterrupted:
            self._settle()
            raise
        self._wiring.output_log.serve(0 if has_worked else self._pace.look)
        for rater in self._raters.values():
            # One that holds a large message is written at once: until then others may have to wait with theirs.
            is_over = rater.large_bytes or not rater.has_work or rater.group.seconds >= self._pace.turn
            if is_over and rater.can_commit:
                self._groups.append(rater.commit())

    def blocked(self) -> list[int]:
        """The partitions whose next message is a large one that waits until others are written: more is of no use."""
        return [partition for partition, rater in self._raters.items() if not self._has_room(rater)]

    def waiting(self) -> tuple[int, int]:
        """How many messages wait for their turn, and their bytes, without those of the `blocked` partitions."""
        waiting = [rater.waiting for rater in self._raters.values() if self._has_room(rater)]
        return sum(messages for messages, _ in waiting), sum(size for _, size in waiting)

    def written(self) -> Mapping[int, int]:
        """By partition at hand, the next offset that is not written: all before it may be acknowledged to Kafka."""
        return {partition: rater.store.applied + 1 for partition, rater in self._raters.items()}

    def take_counts(self) -> Counts:
        """What was decided and written since the last call."""
        total = Counts()
        for rater in self._raters.values():
            if rater.counts.messages or rater.counts.events:  # adding what is empty costs, too
                total.add(rater.counts)
                rater.counts = Counts()
        total.groups, self._groups = self._groups, []
        return total

    def assign(self, partitions: Iterable[int]) -> None:
        """Opens partitions that are now this worker's. Raises LogChanged where the log is another one, StateError."""
        for partition in partitions:
            self._rater(partition)

    def release(self, partitions: Iterable[int]) -> None:
        """Closes partitions that now belong to another worker. What of them is not written, that one decides again."""
        for partition in partitions:
            rater = self._raters.pop(partition, None)
            if rater is not None:
                self._turns.remove(partition)
                rater.close()

    def close(self) -> None:
        """Closes every partition. What was not committed is read from the log again."""
        self.release(list(self._raters))

    def _work(self) -> bool:
        """Works for about a turn, if there is anything to do; returns whether there was."""
        has_worked = False
        began = at = self._now()
        while at - began < self._pace.turn and (rater := self._next()) is not None:
            has_worked = True
            turn_began = at
            while rater.has_work and at - turn_began < self._pace.turn:
                rater.work()
                at = self._now()
            rater.spent(at - turn_began)
        return has_worked

    def _next(self) -> PartitionRater | None:
        """Whose turn it is: the next with work whose group has not ended; else the next that may lengthen its own.

        A message in work goes on in any case: before its end nothing of its group can be written. A large one is begun
        only where there is room in memory for what it changes.
        """
        for bound in (self._pace.turn, self._pace.group):
            for _ in range(len(self._turns)):
                self._turns.rotate(-1)
                rater = self._raters[self._turns[-1]]
                if rater.is_in_message:
                    return rater
                if rater.has_work and rater.group.seconds < bound and self._has_room(rater):
                    return rater
        return None

    def _has_room(self, rater: PartitionRater) -> bool:
        """Whether the rater's next message may be begun.

        An ordinary one always; a large one where it is the only one, or all have at most MOST_LARGE_BYTES with it.
        """
        size = rater.next_large_bytes
        if not size:
            return True
        held = sum(other.large_bytes for other in self._raters.values())
        return not held or held + size <= MOST_LARGE_BYTES

    def _settle(self) -> None:
        """Writes all that is applied, or in work."""
        for rater in self._raters.values():
            rater.forget_waiting()
        self._wiring.output_log.wait()
        for rater in self._raters.values():
            if rater.can_commit:
                self._groups.append(rater.commit())

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
            self._turns.append(partition)
        return rater
