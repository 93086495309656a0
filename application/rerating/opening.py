"""Re-rating one pipeline: the replay with other prices, its plan, and the sending of its corrections."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from application.errors import Failed
from application.pipeline import Pipeline
from application.rerating.applying import SentCorrections, send_corrections
from application.rerating.plan import plan_json, write_plan
from application.scratch import scratch_folder
from replay.rerating.corrections import Correction, Netting, Row
from replay.rerating.partition import Rerate
from replay.rerating.run import Listener, RerateResult, partitions_of, run_rerating
from streams import clock


@dataclass(frozen=True, slots=True)
class Rerating:
    """A re-rating that has been worked out. `spool` holds its corrections, one a line, until the block ends."""

    pipeline: Pipeline
    asked: Rerate
    outcome: RerateResult
    plan: dict[str, Any]
    spool: Path

    def keep(self, path: Path) -> None:
        """Writes plan and corrections to a file, whole or not at all. Raises Failed."""
        try:
            write_plan(path, self.plan, self.spool)
        except OSError as error:
            raise Failed(f"{path}: the plan cannot be kept: {error}") from error

    def send(self, seconds: float) -> SentCorrections:
        """Sends the corrections and waits up to `seconds` for their decisions. Raises Failed, LogError, NotDecided."""
        if self.outcome.overlaps:
            raise Failed("Nothing was sent: see above; what was given for those days cannot be told apart.")
        if not (self.outcome.refunds or self.outcome.grants):
            return SentCorrections()
        with self.spool.open(encoding="utf-8") as lines:
            return send_corrections(self.pipeline, map(json.loads, lines), seconds)


@contextmanager
def opened_rerating(
    pipeline: Pipeline, asked: Rerate, net: str, on_row: Callable[[Row], None],
    on_correction: Callable[[Correction], None],
) -> Iterator[Rerating]:  # fmt: skip
    """Replays everything that the log holds now with the other prices; rows and corrections are reported as they come.

    `net` is `charge` or `account`. Raises LogError, StateError.
    """
    with scratch_folder(pipeline.places.data) as scratch:
        spool = scratch / "corrections.ndjson"
        log = pipeline.input_log
        ends = {partition: log.bounds(partition)[1] for partition in partitions_of(asked, pipeline.partitions)}
        with spool.open("w", encoding="utf-8") as out, _progress(pipeline, ends) as report:

            def corrected(correction: Correction) -> None:
                out.write(json.dumps(correction.as_json(), ensure_ascii=False) + "\n")
                on_correction(correction)

            listener = Listener(on_row, corrected, report)
            outcome = run_rerating(pipeline.replay_source, asked, ends, scratch, Netting(net), clock.now_ms(), listener)
        yield Rerating(pipeline, asked, outcome, plan_json(asked, outcome, pipeline.log_id, net), spool)


@contextmanager
def _progress(pipeline: Pipeline, ends: dict[int, int]) -> Iterator[Callable[[int, int], None]]:
    """Reports the replay of all partitions together; the block calls it with partition and next offset."""
    at = dict.fromkeys(ends, 0)
    with pipeline.notices.progress("replaying", sum(ends.values())) as report:

        def note(partition: int, offset: int) -> None:
            at[partition] = offset
            report(sum(at.values()))

        yield note
