"""Explains one hold: why it was held or rejected, what drew on it, and how it ended."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from application.accounts.opening import kept_place, opened_replay
from application.clickhouse.asking import literal, rows_of
from application.errors import ErrorCode, Failed, Misconfigured
from application.explaining.explained import plain_place
from application.pipeline import Pipeline
from metering.places import hold_place
from metering.records import Kind
from replay.hold_story import HoldArrival, HoldStory, replay_hold
from streams import clock

_NOWHERE = """\
There is no hold {hold_id} of account {account_id}: the log has no such command. Check
  - the id: it is compared as it is written, upper and lower case apart;
  - the account: whose id was sent with it;
  - the pipeline: `creditmeter config` shows which Kafka and which topic_prefix this is."""


@dataclass(frozen=True, slots=True)
class ExplainedHold:
    """A hold's story up to the log's offset `stop`, told at the instant `at` (ms)."""

    story: HoldStory
    stop: int
    at: int

    def as_plain(self) -> dict[str, Any]:
        """Everything, for JSON: times in ms, amounts in credits."""
        story = self.story
        return {
            "hold_id": story.hold_id,
            "account_id": story.account_id,
            "arrivals": [
                {
                    "became": became(arrival),
                    "place": plain_place(story.topic, arrival.place),
                    "request": arrival.request,
                    "on_empty": arrival.on_empty,
                    "asked": [asdict(asked) | {"available": asked.available} for asked in arrival.asked],
                    "open_holds": arrival.open_holds,
                    "output": None if arrival.output is None else _without_bytes(arrival.output.record),
                }
                for arrival in story.arrivals
            ],
            "changes": [
                {"place": plain_place(story.topic, changed.place), **changed.change} for changed in story.changes
            ],
            "base": story.base,
            "replayed_to": self.stop,
        }


def explain_hold(pipeline: Pipeline, hold_id: str, account_id: str | None) -> ExplainedHold:
    """The hold's story, from before it was asked for. Without an account ClickHouse says whose it is.

    Raises Failed (NOT_FOUND) where nobody has it, Misconfigured where several accounts have, LogError.
    """
    whose = account_id or _account_of(pipeline, hold_id)
    kept = kept_place(pipeline, whose, hold_id, hold_place)
    # From the newest state there would be no hold to replay: so from one before it, or the log's beginning.
    before = 0 if kept is None else kept.offset
    with opened_replay(pipeline, whose, before=before) as opened, opened.progress() as report:
        story = replay_hold(opened.replay, hold_id, opened.stop, report)
    if not story.arrivals:
        raise Failed(_NOWHERE.format(hold_id=hold_id, account_id=whose), ErrorCode.NOT_FOUND)
    return ExplainedHold(story, opened.stop, clock.now_ms())


def _account_of(pipeline: Pipeline, hold_id: str) -> str:
    sql = f"SELECT DISTINCT account_id FROM holds WHERE hold_id = {literal(hold_id)} ORDER BY account_id LIMIT 6"  # noqa: S608 - quoted
    try:
        accounts = [row["account_id"] for row in rows_of(pipeline.sql, sql)]
    except Failed as error:
        raise Failed(f"{error.message}\n  Without ClickHouse, say whose hold it is: --account", error.code) from error
    if len(accounts) > 1:
        raise Misconfigured(f"Several accounts have a hold {hold_id!r}; say which with --account:", accounts)
    if not accounts:
        raise Failed(
            f"ClickHouse has no hold {hold_id}: it is not loaded yet, or never came. With --account the log is read.",
            ErrorCode.NOT_FOUND,
        )
    return str(accounts[0])


def became(arrival: HoldArrival) -> str:
    """held, rejected, repeated or dead_letter."""
    output = arrival.output
    if output is None:
        return "repeated"
    return "dead_letter" if output.kind is Kind.DEAD_LETTER else str(output.record["status"])


def _without_bytes(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != "original"}
