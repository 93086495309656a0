"""A whole cluster in one process, driven by one seed: workers, disks, a broker, a consumer group, and accidents.

Real code: `RatingLoop`, `PartitionRater`, `Outbox`, the state machine, the codec. Simulated: the broker, the disks
(`MemoryBroker`, `MemoryState`) and what Faust does, that is, whose partition it is and what offset is committed.
"""

from __future__ import annotations

import random
import threading
from collections import deque
from functools import cache

from schemas.batches import read_position
from schemas.catalog import BATCHES
from schemas.codec import Codec
from schemas.price_book import read_book
from sinks.sink import SinkUnavailable
from streams.log.memory import FaultPoint, MemoryBroker, MemoryInputLog, MemoryOutputLog
from streams.log.protocols import CatchUpInterrupted, DeliveryFailed, Message
from streams.log.seals import SEAL_HEADER, Sealer
from streams.log.topics import TopicNames
from streams.rating.loop import RatingLoop
from streams.rating.outputs import BATCH_NAME, topics_by_kind
from streams.rating.partition import Wiring
from streams.rating.slices import Slicing
from streams.state.store import MemoryState
from tests.streams.loading.loading_simulation import MemoryStore, SimulatedLoader
from tests.streams.traffic import Traffic

NAMES = TopicNames("sim")
PARTITIONS = 3
SLICED = Slicing(events=2, whole_events=2, whole_bytes=300)
"""So little that most of the traffic's batches are decided in slices."""
SEALS = Sealer(b"key of the simulation")
View = dict[tuple[str, int], list[bytes]]
CODEC = Codec()
read_book_once = cache(read_book)
"""Books are values, and a simulation opens states so often that reading YAML would be most of its work."""


def stray_batch(topic: str, partition: int, offset: int) -> bytes:
    """A batch of the topic's kind that claims to come from this input offset."""
    name = next(BATCH_NAME[kind] for kind, kind_topic in topics_by_kind(NAMES).items() if kind_topic == topic)
    head = {"source_partition": partition, "source_offset": offset, "part": 0, "parts": 1}
    return CODEC.encode(name, {**head, BATCHES[name]: []})


class Crash(BaseException):
    """The process ends here."""


class Fuse:
    """Ends the process, or fails a delivery, at the n-th step that it is asked about; None never does."""

    def __init__(self, after: int | None, lost_acknowledgement: bool = False) -> None:
        self.left = after
        self.lost = lost_acknowledgement

    def burn(self, where: str) -> None:
        if self.left is None:
            return
        self.left -= 1
        if self.left < 0:
            self.left = None
            if self.lost and where == FaultPoint.ACKNOWLEDGE:
                raise DeliveryFailed("simulated: the acknowledgement was lost")
            raise Crash(where)


class Machine:
    """A machine with a disk that outlives its processes, and at most one running worker."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.disk: dict[int, MemoryState] = {}
        self.positions: dict[int, int] = {}
        self.fuse = Fuse(None)
        self.loop: RatingLoop | None = None
        self.output: MemoryOutputLog | None = None
        self.leaving = threading.Event()
        self.time = 0.0

    def start(self) -> None:
        paces = self.cluster.paces
        self.output = MemoryOutputLog(
            self.cluster.broker, read_position, lambda step, _topic, _partition: self.fuse.burn(step), SEALS,
            lambda waiting: paces.randrange(waiting + 1),
        )  # fmt: skip
        wiring = Wiring(
            NAMES, PARTITIONS, self.cluster.codec, read_book_once,
            MemoryInputLog(self.cluster.broker, NAMES.requests), self.output,
            self.leaving, catch_up_messages=3, patience=0, slicing=self.cluster.slicing,
        )  # fmt: skip
        self.loop = RatingLoop(wiring, self._open, now=self.now)
        self.positions = {}

    def stop(self) -> None:
        """The process is gone, whatever it was doing; the disk stays."""
        self.loop = None
        self.positions = {}
        for partition, state in self.disk.items():
            self.disk[partition] = state.reopen()

    def now(self) -> float:
        """The rating loop's clock, which it reads between any two steps of its work: there, too, it may end."""
        self.fuse.burn("step")
        self.time += self.cluster.paces.random() * 0.008
        return self.time

    def step(self, partitions: list[int], size: int, turns: int | None = None) -> dict[int, int]:
        """Gives up to ``size`` messages a partition to the loop, and so many turns; the offsets that may be committed.

        Without ``turns``, until all is carried through. What is left goes on in the next step.
        """
        if self.loop is None:
            self.start()
        assert self.loop is not None
        group: list[Message] = []
        for partition in partitions:
            position = self.positions.get(partition, self.cluster.committed.get(partition, 0))
            waiting = [m for m in self.cluster.broker.records(NAMES.requests, partition) if m.offset >= position]
            group += waiting[:size]
        self.loop.take(group)
        self.positions.update({message.partition: message.offset + 1 for message in group})
        while self.loop.is_busy if turns is None else turns:
            self.loop.advance()
            turns = None if turns is None else turns - 1
        return {p: min(stop, self.positions[p]) for p, stop in self.loop.written().items() if p in self.positions}

    def _open(self, partition: int) -> MemoryState:
        state = self.disk.get(partition) or MemoryState()
        state = self.disk[partition] = state.reopen()
        state.fault = self.fuse_state
        return state

    def fuse_state(self, moment: str) -> None:
        self.fuse.burn(moment)


class Cluster:
    """Two machines that share the partitions, and the seed's accidents."""

    def __init__(
        self, seed: int, messages: int = 60, *, strangers: bool = False, slicing: Slicing | None = None
    ) -> None:
        self.slicing = slicing or Slicing()
        self.paces = random.Random(f"paces of {seed}")
        self.random = random.Random(f"accidents of {seed}")
        self.gaps = random.Random(f"gaps of {seed}")
        self.chances = random.Random(f"checkpoints of {seed}")
        self.with_strangers = strangers
        self.strangers = random.Random(f"strangers of {seed}")
        self.strays = 0
        self.losses = random.Random(f"losses of the store of {seed}")
        self.store_fuse = Fuse(None)
        self.store = MemoryStore(self._strike_store)
        self.backups: list[MemoryStore] = []
        self.loaders: list[SimulatedLoader | None] = [None, None]
        self.kept: dict[int, list[MemoryState]] = {}
        self.codec = CODEC
        self.broker = MemoryBroker()
        self.committed: dict[int, int] = {}
        self.machines = [Machine(self), Machine(self)]
        self.owner = dict.fromkeys(range(PARTITIONS), 0)
        self.ghosts: list[MemoryOutputLog] = []
        self.accidents: list[str] = []
        self.coming = deque(Traffic(seed, PARTITIONS, self.codec).messages(messages))
        self.produce(messages // 2)

    def produce(self, count: int) -> None:
        """The next messages of the traffic reach the input log; some offsets stay without a record."""
        for _ in range(min(count, len(self.coming))):
            partition, timestamp, value = self.coming.popleft()
            self.broker.append(NAMES.requests, partition, value, timestamp)
            if self.gaps.random() < 0.02:
                self.broker.skip(NAMES.requests, partition)

    def append(self, topic: str, partition: int, value: bytes) -> int:
        """One output record, sealed as a worker's; gives its offset."""
        return self.broker.append(topic, partition, value, headers={SEAL_HEADER: SEALS.seal(topic, partition, value)})

    def run_undisturbed(self) -> View:
        self.produce(len(self.coming))
        while self._behind():
            self._commit(self.machines[0].step(list(range(PARTITIONS)), 1_000))
        return self.view()

    def run_with_accidents(self, rounds: int = 30) -> View:
        for _ in range(rounds):
            self.produce(self.random.randrange(3))
            self._maybe_rebalance()
            self._maybe_keep()
            self._maybe_lose_disk()
            self._maybe_ghost()
            self._maybe_stray()
            self._maybe_lose_store()
            self._load()
            for machine in self.machines:
                self._step(machine)
        for machine in self.machines:
            machine.fuse.left = None
            machine.positions = {}  # everyone joins once more and goes on from what is committed
        for ghost in self.ghosts:
            ghost.send_late()
        self.produce(len(self.coming))
        while self._behind():
            for machine in self.machines:
                self._commit(machine.step(self._owned(machine), 1_000))
        return self.view()

    def view(self) -> View:
        """What a reader takes from each output partition when it skips what it has seen."""
        seen: View = {}
        for topic in NAMES.outputs:
            for partition in range(PARTITIONS):
                last = (-1, -1)
                taken = seen[topic, partition] = []
                for record in self.broker.records(topic, partition):
                    if not SEALS.is_ours(topic, record):
                        continue
                    position = read_position(record.value)
                    if position > last:
                        last = position
                        taken.append(record.value)
        return seen

    def disks_at_the_end(self) -> set[int]:
        """The partitions of which some machine's state has the whole log."""
        ends = {p: self.broker.records(NAMES.requests, p)[-1].offset for p in range(PARTITIONS)}
        return {p for machine in self.machines for p, state in machine.disk.items() if state.applied == ends[p]}

    def _step(self, machine: Machine) -> None:
        owned = self._owned(machine)
        if self.random.random() < 0.1:  # a slow worker that does not know yet what it has lost
            owned = list(range(PARTITIONS))
        if machine.loop is None:
            machine.start()
        if self.random.random() < 0.5:
            machine.fuse.left = self.random.randrange(40)
            machine.fuse.lost = self.random.random() < 0.3
        if self.chances.random() < 0.3:
            machine.leaving.set()  # a rebalance begins while the group is in work
        try:
            done = machine.step(owned, self.random.randrange(1, 8), self.paces.choice([None, 0, 1, 3, 6]))
        except CatchUpInterrupted:
            self.accidents.append("gave way")
            machine.positions = {}  # nothing of the group was acknowledged: it is delivered again
            machine.fuse.left = None
            return
        except (Crash, DeliveryFailed) as error:
            self.accidents.append(f"{type(error).__name__} {error}")
            if machine.output is not None and self.random.random() < 0.5:
                self.ghosts.append(machine.output)
            machine.stop()
            machine.fuse.left = None
            return
        finally:
            machine.leaving.clear()
        if self.random.random() < 0.7:  # else the commit interval has not come round, or the commit was lost
            self._commit({p: offset for p, offset in done.items() if self.owner[p] == self.machines.index(machine)})

    def _maybe_rebalance(self) -> None:
        if self.random.random() > 0.25:
            return
        partition = self.random.randrange(PARTITIONS)
        old = self.machines[self.owner[partition]]
        self.owner[partition] = 1 - self.owner[partition]
        if old.loop is not None and self.random.random() < 0.7:  # else it goes on as a ghost of the partition
            old.loop.release([partition])
        old.positions.pop(partition, None)
        self.machines[self.owner[partition]].positions.pop(partition, None)
        self.accidents.append(f"rebalance {partition}")

    def _maybe_lose_disk(self) -> None:
        if self.random.random() > 0.15:
            return
        machine = self.random.choice(self.machines)
        machine.stop()
        for partition, state in list(machine.disk.items()):
            if self.random.random() < 0.3:
                del machine.disk[partition]
                self.accidents.append(f"disk of {partition} gone")
                self._maybe_restore(machine, partition)
            else:
                lost = state.lose(self.random.randrange(4))
                self.accidents.append(f"power loss: {lost} writes of {partition}")

    def _maybe_keep(self) -> None:
        """Between two groups, as a checkpoint is made."""
        for machine in self.machines:
            for partition, state in machine.disk.items():
                if self.chances.random() < 0.2:
                    self.kept.setdefault(partition, []).append(state.copy())

    def _maybe_restore(self, machine: Machine, partition: int) -> None:
        if partition in self.kept and self.chances.random() < 0.7:
            machine.disk[partition] = self.chances.choice(self.kept[partition]).copy()
            self.accidents.append(f"restored {partition} at {machine.disk[partition].applied}")

    def _maybe_ghost(self) -> None:
        for ghost in self.ghosts:
            if self.random.random() < 0.3:
                ghost.send_late(self.random.randrange(3))

    def load_all(self) -> MemoryStore:
        """A loader starts once more and takes all that is in the topics through; gives the store."""
        self.store_fuse.left = None
        loader = self._new_loader()
        while loader.step(1_000):
            pass
        return self.store

    def _new_loader(self) -> SimulatedLoader:
        return SimulatedLoader(NAMES, PARTITIONS, self.codec, SEALS, self.broker, self.store)

    def _load(self) -> None:
        """A loader, or two that have the same partitions for a while, each of which may end at any step."""
        for number in range(len(self.loaders)):
            if self.losses.random() < (0.4 if number else 0.1):
                continue
            if self.losses.random() < 0.5:
                self.store_fuse.left = self.losses.randrange(12)
            try:
                loader = self.loaders[number] = self.loaders[number] or self._new_loader()
                loader.step(self.losses.randrange(1, 6))
            except Crash as error:
                self.accidents.append(f"loader: {error}")
                self.loaders[number] = None
            self.store_fuse.left = None

    def _strike_store(self, moment: str) -> None:
        self.store_fuse.burn(moment)
        if self.store_fuse.left is not None and self.losses.random() < 0.1:
            raise SinkUnavailable(f"simulated: {moment}")

    def _maybe_lose_store(self) -> None:
        """The store is emptied, or an earlier copy of it is put back; its loaders end with it."""
        if self.losses.random() < 0.2:
            self.backups.append(self.store.copy())
        if self.losses.random() > 0.08:
            return
        if self.backups and self.losses.random() < 0.6:
            self.store = self.losses.choice(self.backups).copy()
            self.accidents.append("store restored")
        else:
            self.store = MemoryStore(self._strike_store)
            self.accidents.append("store emptied")
        self.loaders = [None, None]

    def _maybe_stray(self) -> None:
        """Somebody else writes to an output topic: a record that looks like one of ours, from wherever, but the seal.

        It may be the first of its partition, stand between two of ours or behind the last, while a worker runs or not.
        """
        rolled = self.strangers
        if not self.with_strangers or rolled.random() > 0.3:
            return
        topic, partition = rolled.choice(NAMES.outputs), rolled.randrange(PARTITIONS)
        known = [record for topic in NAMES.outputs for record in self.broker.records(topic, partition)]
        copied = rolled.choice(known).value if known and rolled.random() < 0.4 else None
        end = self.broker.bounds(NAMES.requests, partition)[1]
        claimed = rolled.choice([0, max(0, end - 1), end, end + rolled.randrange(50), 2**60])
        value = copied or stray_batch(topic, partition, claimed)
        elsewhere = SEALS.seal(rolled.choice(NAMES.all), (partition + 1) % PARTITIONS, value)
        other = Sealer(b"key of another pipeline").seal(topic, partition, value)
        seal = rolled.choice([None, b"", bytes(16), elsewhere, other])
        self.broker.append(topic, partition, value, headers={} if seal is None else {SEAL_HEADER: seal})
        self.strays += 1

    def _commit(self, done: dict[int, int]) -> None:
        for partition, offset in done.items():
            self.committed[partition] = max(offset, self.committed.get(partition, 0))

    def _owned(self, machine: Machine) -> list[int]:
        return [p for p, owner in self.owner.items() if self.machines[owner] is machine]

    def _behind(self) -> bool:
        for partition in range(PARTITIONS):
            waiting = self.broker.records(NAMES.requests, partition)
            if waiting and self.committed.get(partition, 0) <= waiting[-1].offset:
                return True
        return False
