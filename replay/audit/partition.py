"""Audits one partition: replays the input log into a fresh state and compares outputs, rows and state with it.

Same code as the worker's (`apply_message`, `encoded`), another disk, nothing sent. A partition's outputs are compared
byte by byte as the replay goes on, its rows stretch by stretch, its state (where asked) at the offset where it stands.
What is held in memory does not grow with the log: the replayed state and a digest of every output are in a store.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from metering import Sweeper
from metering.state import ReadBook, State
from replay.audit.findings import Note, Totals
from replay.audit.outputs import OutputAudit, Stretch, digest
from replay.audit.rows import RowAudit, RowStore
from replay.audit.scope import Scope
from replay.audit.state import ReadableState, compare_states
from schemas.codec import Codec
from streams.log.protocols import InputLog, LostPrefix, Message, RecordLog
from streams.log.seals import SealCheck, SealedLog
from streams.log.source_position import SourcePosition
from streams.log.topics import TopicNames
from streams.rating.deciding import apply_message
from streams.rating.outputs import BATCH_NAME, Counts, Decided, encoded, topics_by_kind
from streams.rating.partition import SWEEP_ROWS_PER_MESSAGE, Wiring
from streams.state.store import StateStore

COMMIT_MESSAGES = 256
_DIGEST = b"~"
"""The table letter of digests, which no table of `metering` has."""
_REPORT_EVERY = 64

ProgressCallback = Callable[[int, int], None]
"""Called with (partition, next offset) as the replay goes on."""


@dataclass(frozen=True, slots=True)
class AuditLogs:
    """The logs to read: the input, and each output topic by name; `seals` recognises the records of this pipeline.

    `deliveries`: the topic of what is sent to webhooks, None where that is not looked at.
    """

    names: TopicNames
    partitions: int
    codec: Codec
    read_book: ReadBook
    input_log: InputLog
    output_logs: Mapping[str, RecordLog]
    seals: SealCheck
    deliveries: RecordLog | None = None

    @property
    def own_outputs(self) -> dict[str, RecordLog]:
        """The output topics without their stray records."""
        return {topic: SealedLog(log, topic, self.seals) for topic, log in self.output_logs.items()}


@dataclass(frozen=True, slots=True)
class Against:
    """What a partition is compared with besides its outputs: rows, and a worker's state."""

    rows: RowStore | None = None
    state: ReadableState | None = None


class PartitionAudit:
    """Audits one partition, once. `store` is fresh, or as a checkpoint of an earlier audit left it.

    `run` passes each difference to `note`; afterwards `store` is the state at the scope's end, to be kept, and `resume`
    says where a later audit goes on. `compare_state` comes last: it may take `store` further.
    """

    def __init__(
        self, logs: AuditLogs, scope: Scope, store: StateStore, against: Against, note: Note,
        progress: ProgressCallback = lambda _partition, _offset: None,
    ) -> None:  # fmt: skip
        self._logs = logs
        self._scope = scope
        self._store = store
        self._against = against
        self._note = note
        self._progress = progress
        self._wiring = Wiring(logs.names, logs.partitions, logs.codec, logs.read_book, logs.input_log, _NowhereLog())
        self._state = State(store, logs.read_book)
        self._sweeper = Sweeper(self._state)
        self._topics = topics_by_kind(logs.names)
        self._numbers = {topic: bytes([number]) for number, topic in enumerate(logs.names.outputs)}
        self._uncommitted = 0
        self._start = self._next = store.applied + 1
        self._state_compared = against.state is None
        self.totals = Totals()
        self.resume: dict[str, Stretch] = {}
        self.gaps = list(scope.gaps)

    def run(self) -> None:
        """Replays up to the scope's end and compares outputs and rows. Raises LogError, StateError."""
        scope, totals = self._scope, self.totals
        self._check_beginning()
        exists = self._logs.input_log.bounds(scope.partition)[1]  # after the outputs' ends were fixed: none is newer
        outputs: dict[str, OutputAudit] = {}
        for topic, stretch in scope.outputs.items():  # billed lines first
            answers = outputs[self._logs.names.billed] if topic == self._logs.names.accounts else None
            outputs[topic] = OutputAudit(
                self._logs.output_logs[topic], topic, scope.partition, stretch, (scope.stop, exists),
                self._logs.codec, self._logs.seals, self._digest_of, self._note, answers,
            )  # fmt: skip
        rows = self._row_audit()
        counts = Counts()
        for message in self._logs.input_log.read(scope.partition, self._next, scope.stop):
            self._compare_state_before(message.offset)
            caused = apply_message(self._wiring, self._state, message, counts)
            self._compare_outputs(message, caused, outputs, rows)
            totals.messages += 1
            totals.note(caused.outputs)
            self._applied(message.offset)
        totals.events = counts.events
        self._commit(max(scope.stop - 1, self._store.applied))
        for topic, reader in outputs.items():
            reader.finish()
            self.resume[topic] = Stretch(reader.resume, reader.resume, reader.seen)
            totals.doubles += reader.doubles
        if rows is not None:
            rows.compare(scope.stop)
            totals.rows, totals.doubled_rows = rows.rows, rows.doubled
        self._progress(scope.partition, scope.stop)

    def compare_state(self) -> None:
        """Compares the worker's state, after taking the replay on to where it stands. Raises LogError, StateError."""
        state = self._against.state
        if self._state_compared or state is None:
            return
        self._compare_state_before(self._next)
        for message in self._logs.input_log.read(self._scope.partition, self._next, state.applied + 1):
            apply_message(self._wiring, self._state, message)
            self._applied(message.offset)
        self._commit(max(state.applied, self._store.applied))
        self._compare_state_before(self._next)

    def _check_beginning(self) -> None:
        kept, _ = self._logs.input_log.bounds(self._scope.partition)
        place = f"{self._logs.names.requests}[{self._scope.partition}]"
        if self._next < min(kept, self._scope.stop):
            raise LostPrefix(
                f"{place}: the log begins at {kept}, the replay has to begin at {self._next}: what is deleted cannot "
                "be audited; begin from a checkpoint of an earlier audit (--from) that reaches so far"
            )

    def _row_audit(self) -> RowAudit | None:
        if self._against.rows is None:
            return None
        loaded = self._logs.names.loaded
        horizons = {
            BATCH_NAME[kind]: self._scope.horizons[topic] for kind, topic in self._topics.items() if topic in loaded
        }
        codec, note = self._logs.codec, self._note
        return RowAudit(self._against.rows, codec, self._scope.partition, self._next, horizons, note)

    def _compare_outputs(
        self, message: Message, caused: Decided, outputs: Mapping[str, OutputAudit], rows: RowAudit | None
    ) -> None:
        codec, partition = self._logs.codec, self._scope.partition
        for topic, part, value in encoded(codec, self._topics, caused, partition, message.offset):
            position = (message.offset, part)
            self._state.put(self._digest_key(topic, position), digest(value))
            outputs[topic].expect(position, value)
            self.totals.records += 1
            if rows is not None and topic in self._logs.names.loaded:
                rows.add(value)
        if rows is not None and rows.is_full:
            rows.compare(message.offset + 1)

    def _applied(self, offset: int) -> None:
        self._next = offset + 1
        self._uncommitted += 1
        if self._uncommitted >= COMMIT_MESSAGES:
            self._commit(offset)
        if offset % _REPORT_EVERY == 0:
            self._progress(self._scope.partition, offset + 1)

    def _commit(self, applied: int) -> None:
        """Writes what was replayed, as a worker does; offsets that hold no record are skipped."""
        self._sweeper.sweep(self._uncommitted * SWEEP_ROWS_PER_MESSAGE)
        self._store.commit(self._state.changes(), applied)
        self._state.commit()
        self._uncommitted = 0
        self._next = max(self._next, applied + 1)

    def _compare_state_before(self, offset: int) -> None:
        """Compares the worker's state where everything up to its applied offset, and nothing more, is replayed."""
        state = self._against.state
        if self._state_compared or state is None or state.applied >= offset:
            return
        self._state_compared = True
        place = f"state of {self._logs.names.requests}[{self._scope.partition}]"
        if self._replayed_already(state.applied + 1, self._start):  # it lies before the checkpoint that we began from
            self.gaps.append(f"{place}: it stands at {state.applied}, before the checkpoint that the audit began from")
            return
        self._commit(max(offset - 1, self._store.applied))
        compare_states(self._store, state, place, self._note)

    def _replayed_already(self, first: int, stop: int) -> bool:
        """Whether any record that is kept has first <= offset < stop."""
        log, partition = self._logs.input_log, self._scope.partition
        return next(iter(log.read(partition, max(first, log.bounds(partition)[0]), stop)), None) is not None

    def _digest_key(self, topic: str, position: SourcePosition) -> bytes:
        offset, part = position
        return _DIGEST + self._numbers[topic] + offset.to_bytes(8, "big") + part.to_bytes(4, "big")

    def _digest_of(self, topic: str, position: SourcePosition) -> bytes | None:
        digest: bytes | None = self._state.get(self._digest_key(topic, position))
        return digest


class _NowhereLog:
    """The output log of an audit, which sends nothing: raises where something tries to."""

    def last_position(self, topic: str, partition: int) -> tuple[int, int] | None:
        raise RuntimeError(f"an audit does not send to {topic}[{partition}]")

    def send(self, topic: str, partition: int, value: bytes) -> None:
        raise RuntimeError(f"an audit does not send {len(value)} bytes to {topic}[{partition}]")

    def serve(self, seconds: float) -> None:  # noqa: ARG002 -- the protocol's
        raise RuntimeError("an audit does not send")

    def unacknowledged(self, partition: int) -> int:
        raise RuntimeError(f"an audit does not send to partition {partition}")

    def wait(self) -> None:
        raise RuntimeError("an audit does not send")

    def abandon(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Nothing to end."""
