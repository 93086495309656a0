"""An account's settings, and changes of them.

An AccountUpdate replaces all settings at once. So an update of one setting repeats all others, as the log has them;
what another person has changed in between is replaced, too, and reported.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from application.accounts.opening import OpenedReplay, opened_replay
from application.commands.fields import raise_on_bad_field
from application.commands.repeats import Repeat, repeat_of
from application.commands.submitting import Decided, printed, submit, submit_and_wait
from application.errors import ErrorCode, Failed
from application.pipeline import Pipeline
from application.wording import shown_time
from metering.account import Account
from metering.records import LAST_INSTANT, YEAR_2000, Command, Kind
from streams import clock


@dataclass(frozen=True)
class PlanSetting:
    """Times in ms."""

    name: str
    started_at: int
    ends_at: int | None

    def within_bounds(self) -> PlanSetting | None:
        """The plan that counts for the same events, with times of the years 2000 to 9999; None where it is for none.

        Earlier versions took 0 for a plan without a beginning, and any long for one without an end.
        """
        started_at = max(self.started_at, YEAR_2000)
        ends_at = None if self.ends_at is None or self.ends_at > LAST_INSTANT else self.ends_at
        if started_at > LAST_INSTANT or (ends_at is not None and ends_at <= started_at):
            return None
        return PlanSetting(self.name, started_at, ends_at)

    def __str__(self) -> str:
        until = "" if self.ends_at is None else f" until {shown_time(self.ends_at)}"
        return f"{self.name} from {shown_time(self.started_at)}{until}"


@dataclass(frozen=True)
class AccountSettings:
    """All settings of an account."""

    plan: PlanSetting | None
    on_empty: str
    alert_below: Mapping[str, int]

    @classmethod
    def of(cls, account: Account) -> AccountSettings:
        """What is in force, with times that an update can carry."""
        plan = None if account.plan is None else PlanSetting(*account.plan).within_bounds()
        return cls(plan, account.on_empty, dict(account.alert_below))

    def fields(self) -> dict[str, Any]:
        """As the fields of an AccountUpdate."""
        plan = self.plan
        return {
            "plan": plan and {"name": plan.name, "started_at": plan.started_at, "ends_at": plan.ends_at},
            "on_empty": self.on_empty,
            "alert_below": dict(self.alert_below),
        }

    def shown(self) -> dict[str, str]:
        """Each setting in words, by its name for people."""
        marks = ", ".join(f"{name} {mark:,}" for name, mark in sorted(self.alert_below.items()))
        return {"plan": str(self.plan or "none"), "on empty": self.on_empty, "alert below": marks or "no marks"}


@dataclass(frozen=True)
class SettingsChange:
    """What was asked for; None and empty stand for `as it is`."""

    plan: str | None = None
    started_at: int | None = None
    ends_at: int | None = None
    no_plan: bool = False
    on_empty: str | None = None
    marks: Mapping[str, int] | None = None
    no_marks: tuple[str, ...] = ()

    def applied(self, present: AccountSettings, now: int) -> AccountSettings:
        """The settings after it; a plan without a beginning begins `now` (ms). Raises Failed."""
        marks = {name: mark for name, mark in present.alert_below.items() if name not in self.no_marks}
        return AccountSettings(
            self._plan(present.plan, now), self.on_empty or present.on_empty, {**marks, **(self.marks or {})}
        )

    def _plan(self, present: PlanSetting | None, now: int) -> PlanSetting | None:
        if self.no_plan:
            return None
        if self.plan is not None:
            return PlanSetting(self.plan, now if self.started_at is None else self.started_at, self.ends_at)
        if self.started_at is None and self.ends_at is None:
            return present
        if present is None:
            raise Failed("The account has no plan whose times could change: give --plan NAME too.", ErrorCode.CONFLICT)
        changed = present if self.started_at is None else replace(present, started_at=self.started_at)
        return changed if self.ends_at is None else replace(changed, ends_at=self.ends_at)


def differences(before: AccountSettings, after: AccountSettings) -> Iterator[str]:
    """`on empty: allow -> reject`, a line for each setting that differs."""
    new = after.shown()
    for name, old in before.shown().items():
        if old != new[name]:
            yield f"{name}: {old} -> {new[name]}"


@dataclass(frozen=True)
class SettingsResult:
    """The result of an update. `seen`: the settings it was made from; `replaced`: those in the log before it."""

    account_id: str
    update_id: str
    place: str | None
    seen: AccountSettings
    replaced: AccountSettings
    after: AccountSettings
    outputs: list[dict[str, Any]]
    repeat: Repeat | None = None

    @property
    def is_repeated(self) -> bool:
        """Whether the account had accepted an update of this id before."""
        return self.repeat is not None

    @property
    def is_refused(self) -> bool:
        """Whether it became a dead letter, or asked for other settings than the first update of its id."""
        is_other = self.repeat is not None and self.repeat.is_other_content
        return is_other or any(output["type"] == Kind.DEAD_LETTER for output in self.outputs)

    def changes(self) -> Iterator[str]:
        """What it changed, a line for each setting."""
        return differences(self.replaced, self.after)

    def overlooked(self) -> Iterator[str]:
        """What somebody else had changed since it was made, and it replaced, a line for each setting."""
        return differences(self.seen, self.replaced)

    def as_json(self) -> dict[str, Any]:
        """For programs; times in ms."""
        return {
            "command": "account",
            "id": self.update_id,
            "account_id": self.account_id,
            "place": self.place,
            "changed": self.after != self.replaced,
            "repeated": self.is_repeated,
            "repeat_of": None if self.repeat is None else self.repeat.as_json(),
            "before": self.replaced.fields(),
            "after": self.after.fields(),
            "replaced_unseen": list(self.overlooked()),
            "outputs": self.outputs,
        }


@dataclass(frozen=True)
class SettingsUpdate:
    """One update of an account whose replay stands at the log's end as it was when it was opened."""

    opened: OpenedReplay
    change: SettingsChange
    update_id: str
    before_sending: Callable[[Mapping[str, Any]], None] | None = None

    def make(self, seconds: float) -> SettingsResult:
        """Sends it where it changes anything and waits for the decision; then replays to it, to know what it replaced.

        Raises BadField, Failed, LogError, NotDecided.
        """
        pipeline, replay = self.opened.pipeline, self.opened.replay
        account_id, now = replay.account_id, clock.now_ms()
        seen = self._settings()
        wanted = self.change.applied(seen, now)
        record = {"update_id": self.update_id, "account_id": account_id, **wanted.fields(), "at": now}
        raise_on_bad_field(Command.ACCOUNT, record)
        if wanted == seen:
            return SettingsResult(account_id, self.update_id, None, seen, seen, seen, [])
        if self.before_sending is not None:
            self.before_sending(record)
        ((partition, offset),) = submit(pipeline, Command.ACCOUNT, [record])
        pipeline.results.wait(partition, offset, seconds)
        replay.run(offset)
        replaced = self._settings()
        outputs = [output for step in replay.commands(offset + 1) for output in replay.apply(step)]
        answer = next((output.record for output in outputs if output.kind is Kind.REPEATED), None)
        repeat = None if answer is None else repeat_of(pipeline, partition, Command.ACCOUNT, record, answer)
        shown = [printed(output.kind, output.record) for output in outputs if output.kind is not Kind.REPEATED]
        place = pipeline.place_name(partition, offset)
        return SettingsResult(account_id, self.update_id, place, seen, replaced, self._settings(), shown, repeat)

    def _settings(self) -> AccountSettings:
        return AccountSettings.of(self.opened.replay.state.account(self.opened.replay.account_id))


def change_settings(
    pipeline: Pipeline, account_id: str, change: SettingsChange, update_id: str | None, seconds: float,
    before_sending: Callable[[Mapping[str, Any]], None] | None = None,
) -> SettingsResult:  # fmt: skip
    """Changes an account's settings and waits up to `seconds` for the decision; nothing is sent where nothing changes.

    `update_id` None: a random one. `before_sending` gets the AccountUpdate where one is sent. Raises as
    `SettingsUpdate.make`.
    """
    with opened_replay(pipeline, account_id) as opened:
        opened.run()
        return SettingsUpdate(opened, change, update_id or str(uuid.uuid4()), before_sending).make(seconds)


def replace_settings(
    pipeline: Pipeline, account_id: str, settings: AccountSettings, update_id: str, now: int, seconds: float
) -> Decided:
    """Replaces all settings at once, whatever they are, and waits up to `seconds` for the decision. `now` in ms.

    Nothing is replayed: the caller says all of them. Raises BadField, LogError, NotDecided.
    """
    record = {"update_id": update_id, "account_id": account_id, **settings.fields(), "at": now}
    raise_on_bad_field(Command.ACCOUNT, record)
    (decided,) = submit_and_wait(pipeline, Command.ACCOUNT, [record], seconds)
    return decided
