"""`creditmeter account set`: an account's plan, what happens when it is empty, and its alert marks."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from application.commands.account_settings import AccountSettings, Change, differences
from cli.terminal.command import Command
from cli.terminal.option_types import INSTANT
from cli.terminal.options import json_option, wait_option, with_configuration
from cli.terminal.output import print_json
from metering.records import Kind

if TYPE_CHECKING:
    from application.accounts.opening import OpenedReplay
    from application.configuration.sources import Configuration


@click.command(
    cls=Command,
    short_help="Change plan, on-empty rule or alert marks.",
    epilog="""
    creditmeter account set acme --plan team --started-at 2026-01-01
    creditmeter account set acme --on-empty reject --alert-below credit=500 --alert-below email=20
    creditmeter account set acme --no-plan --no-alert-below email
    """,
)
@click.argument("account_id", metavar="ACCOUNT")
@click.option("--plan", help="The plan's name, as price books use it.")
@click.option("--started-at", type=INSTANT, help="When the plan began: 2026-01-01. Without it: now.")
@click.option("--ends-at", type=INSTANT, help="When it ends. Without it, with --plan: never.")
@click.option("--no-plan", is_flag=True, help="No plan from now on.")
@click.option("--on-empty", type=click.Choice(["allow", "reject"]), help="Beyond the balance: charge it, or reject it.")
@click.option("--alert-below", "marks", multiple=True, metavar="TYPE=N", help="Alert when TYPE falls below N.")
@click.option("--no-alert-below", "no_marks", multiple=True, metavar="TYPE", help="Remove TYPE's mark.")
@click.option("--id", "update_id", help="The update's id: the same again changes nothing. Without it: a random one.")
@wait_option
@json_option
@with_configuration
def account_set(
    configuration: Configuration,
    account_id: str,
    *,
    plan: str | None,
    started_at: int | None,
    ends_at: int | None,
    no_plan: bool,
    on_empty: str | None,
    marks: tuple[str, ...],
    no_marks: tuple[str, ...],
    update_id: str | None,
    wait: float,
    as_json: bool,
) -> None:
    """Change what is given of ACCOUNT's settings, wait for the result, and print what is in force.

    An update replaces all settings; those that are not given are sent as they are now. Should somebody else change
    them at the same moment, the later one in the log counts, and this command says what it replaced.
    """
    from application.accounts.opening import opened_replay, replay_bar

    if no_plan and (plan is not None or started_at is not None or ends_at is not None):
        raise click.UsageError("--no-plan leaves nothing for --plan, --started-at and --ends-at to say")
    change = Change(plan, started_at, ends_at, no_plan, on_empty, _parsed(marks), no_marks)
    if change == Change(marks={}):
        raise click.UsageError("say what to change, for example --on-empty reject")
    with opened_replay(configuration.settings, account_id) as opened:
        with replay_bar(opened) as told:
            opened.replay.run(opened.stop, told)
        update = SettingsUpdate(opened, change, update_id or str(uuid.uuid4()))
        done = update.make(wait)
    _show(done, as_json=as_json)
    if done.refused:
        raise click.exceptions.Exit(1)


@dataclass(frozen=True)
class UpdateDone:
    """How an update went. `seen` is what it was made from, `replaced` what stood in the log before it."""

    account_id: str
    update_id: str
    place: str | None
    seen: AccountSettings
    replaced: AccountSettings
    after: AccountSettings
    outputs: list[dict[str, Any]]
    repeated: bool

    @property
    def refused(self) -> bool:
        return any(output["type"] == Kind.DEAD_LETTER for output in self.outputs)


@dataclass(frozen=True)
class SettingsUpdate:
    """One update of an account whose replay stands at the log's end as it was when it was opened."""

    opened: OpenedReplay
    change: Change
    update_id: str

    def make(self, wait: float) -> UpdateDone:
        """Sends it where it changes anything; then replays to it, so that what it replaced is known for certain."""
        from application.commands.submitting import printed, send
        from metering.records import Command as Word
        from streams import clock

        cluster, replay, _ = self.opened
        now = clock.now_ms()
        seen = self._settings()
        wanted = self.change.applied(seen, now)
        record = {"update_id": self.update_id, "account_id": replay.account_id, **wanted.fields(), "at": now}
        _check(record)
        if wanted == seen:
            return UpdateDone(replay.account_id, self.update_id, None, seen, seen, seen, [], repeated=False)
        ((partition, offset),) = send(cluster, Word.ACCOUNT, [record])
        cluster.results().wait(partition, offset, wait)
        replay.run(offset)
        replaced = self._settings()
        outputs = [output for step in replay.steps(offset + 1) for output in replay.apply(step)]
        repeated = any(output.kind is Kind.REPEATED for output in outputs)
        shown = [printed(output.kind, output.record) for output in outputs if output.kind is not Kind.REPEATED]
        place = f"{cluster.names.requests}[{partition}]@{offset}"
        return UpdateDone(replay.account_id, self.update_id, place, seen, replaced, self._settings(), shown, repeated)

    def _settings(self) -> AccountSettings:
        return AccountSettings.of(self.opened.replay.state.account(self.opened.replay.account_id))


def _check(record: dict[str, Any]) -> None:
    from application.commands.fields import allowed_values
    from metering.records import Command as Word
    from metering.validation import check_account_update

    bad = check_account_update(record)
    if bad is not None:
        raise click.UsageError(f"{_OPTION.get(bad, bad)}: {allowed_values(Word.ACCOUNT, bad)}")


_OPTION = {"update_id": "--id", "account_id": "ACCOUNT", "plan": "--plan", "alert_below": "--alert-below"}


def _parsed(marks: tuple[str, ...]) -> dict[str, int]:
    """`TYPE=N`, each. A credit type may hold an = itself. Raises UsageError with every mistake."""
    found: dict[str, int] = {}
    wrong = []
    for text in marks:
        name, _, number = text.rpartition("=")
        try:
            found[name] = int(number)
        except ValueError:
            name = ""
        if not name:
            wrong.append(repr(text))
    if wrong:
        raise click.UsageError(f"--alert-below: {', '.join(wrong)} is not like credit=500")
    return found


def _show(done: UpdateDone, *, as_json: bool) -> None:
    from application.commands.outcome_sentences import in_words
    from cli.terminal.output import say, tell

    overlooked = list(differences(done.seen, done.replaced))
    if overlooked:
        say(f"Somebody changed {done.account_id} at the same moment; this update came after it and replaced it:")
        for line in overlooked:
            say(f"  theirs: {line}")
    if as_json:
        whole = {
            "command": "account",
            "id": done.update_id,
            "account_id": done.account_id,
            "place": done.place,
            "changed": done.after != done.replaced,
            "repeated": done.repeated,
            "before": done.replaced.fields(),
            "after": done.after.fields(),
            "replaced_unseen": overlooked,
            "outputs": done.outputs,
        }
        print_json(whole)
        return
    if done.place is None:
        say("Already so: nothing was sent.")
    elif done.repeated:
        say(f"repeated: nothing changed; {done.account_id} has accepted an update {done.update_id} before")
    for line in differences(done.replaced, done.after):
        tell(f"changed      {line}")
    for output in done.outputs:
        tell(in_words(output))
    for name, value in done.after.shown().items():
        tell(f"{name:12} {value}")
