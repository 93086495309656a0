"""`creditmeter refund`: give back what an event, or every event of a call, was charged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from cli.terminal.command import Command
from cli.terminal.options import json_option, wait_option, with_configuration
from cli.terminal.output import print_json

if TYPE_CHECKING:
    from application.commands.refunds import Requests
    from application.configuration.settings import Settings
    from application.configuration.sources import Configuration


@click.command(
    cls=Command,
    short_help="Give back what an event was charged.",
    epilog="""
    creditmeter refund 7b1f-event --account acme --reason "no result was shown"
    creditmeter refund 7b1f-event --account acme --charge ip-lookup --credits 5
    creditmeter refund --request-id bulk-2026-01-17 --account acme --dry-run
    """,
)
@click.argument("event_id", required=False)
@click.option("--request-id", help="Every charged event of this call, as ClickHouse has them, in place of EVENT_ID.")
@click.option("--account", help="Who paid. May be left out where ClickHouse has the event of one account only.")
@click.option("--charge", help="Only this charge of the event. Without it: every charged line.")
@click.option("--credits", "credits_", type=click.IntRange(min=1), help="So many. Without it: all that is left.")
@click.option("--reason", default="", help="Kept with the refund, for whoever looks later.")
@click.option("--id", "refund_id", help="The refund's id: the same again changes nothing. Without it: a random one.")
@click.option("--dry-run", is_flag=True, help="Only tell what would be refunded or rejected; nothing is sent.")
@wait_option
@json_option
@with_configuration
def refund(
    configuration: Configuration,
    *,
    event_id: str | None,
    request_id: str | None,
    account: str | None,
    charge: str | None,
    credits_: int | None,
    reason: str,
    refund_id: str | None,
    dry_run: bool,
    wait: float,
    as_json: bool,
) -> None:
    """Refund the event EVENT_ID, or every charged event of --request-id; wait for the result and print it.

    Never more than was charged, and never partly: a refund that cannot be made is rejected, with the reason, and the
    exit code is 1. A line refunded in full releases its unique subject: the next request is charged. With --request-id
    each event's refund has an id of its own that follows from --id or the request id: repeating is safe.
    """
    from application.commands.fields import allowed_values
    from application.commands.refunds import Wanted, refund_requests, say_what_is_not_loaded
    from metering.records import Command as Word
    from metering.validation import check_refund
    from streams import clock

    if (event_id is None) == (request_id is None):
        raise click.UsageError("give EVENT_ID or --request-id, one of them")
    if credits_ is not None and request_id is not None:
        raise click.UsageError("--credits is of one event: give EVENT_ID, or leave it out to refund all of the call")
    settings = configuration.settings
    now = clock.now_ms()
    wanted = Wanted(event_id, request_id, account, charge, credits_, reason, refund_id)
    if request_id is not None:
        say_what_is_not_loaded(settings, account)
    requests = refund_requests(settings, wanted, now)
    bad = next((found for record in requests.records if (found := check_refund(dict(record))) is not None), None)
    if bad is not None:
        raise click.UsageError(f"{_OPTION.get(bad, bad)}: {allowed_values(Word.REFUND, bad)}")
    shown = _dry_run(settings, requests, now) if dry_run else _made(settings, requests, wait)
    failed = _print(shown, requests, as_json=as_json, dry_run=dry_run)
    if failed:
        raise click.exceptions.Exit(1)


_OPTION = {
    "refund_id": "--id", "account_id": "--account", "event_id": "EVENT_ID", "charge": "--charge",
    "credits": "--credits", "reason": "--reason",
}  # fmt: skip


def _made(settings: Settings, requests: Requests, wait: float) -> list[dict[str, Any]]:
    """Sends the requests; what became of each, as JSON shows it."""
    from application.commands.refunds import first_results
    from application.commands.submitting import decide
    from application.pipeline import opened
    from metering.records import Command as Word

    with opened(settings) as cluster:
        decided = decide(cluster, Word.REFUND, requests.records, wait)
    first = first_results(settings, requests.account_id, [each.own_id for each in decided if not each.outputs])
    return [
        each.as_json()
        | {
            "event_id": each.record["event_id"],
            "repeated": not each.outputs,
            "first": first.get(each.own_id, []),
        }
        for each in decided
    ]


def _dry_run(settings: Settings, requests: Requests, now: int) -> list[dict[str, Any]]:
    """Applies the requests on a copy of the account's present state; what each would come to."""
    from application.accounts.opening import opened_replay, replay_bar
    from application.commands.submitting import printed
    from cli.terminal.output import say
    from metering import apply
    from metering.records import Command as Word
    from metering.records import Kind

    shown = []
    with opened_replay(settings, requests.account_id) as opened:
        replay = opened.replay
        with replay_bar(opened) as told:
            replay.run(opened.stop, told)
        for record in requests.records:
            outputs = apply(replay.state, Word.REFUND, dict(record), now)
            repeated = any(output.kind is Kind.REPEATED for output in outputs)
            found = [printed(output.kind, output.record) for output in outputs if output.kind is not Kind.REPEATED]
            about = {"command": Word.REFUND, "id": record["refund_id"], "account_id": record["account_id"]}
            shown.append({**about, "event_id": record["event_id"], "outputs": found, "repeated": repeated})
        say(f"dry run: nothing is sent; judged by all before {replay.place}@{opened.stop}, from {replay.base.name}")
    return shown


def _print(shown: list[dict[str, Any]], requests: Requests, *, as_json: bool, dry_run: bool) -> bool:
    """Prints every result; gives whether anything was rejected or set aside, now or the first time."""
    from cli.terminal.output import say

    for each in shown:
        if as_json:
            print_json(each)
        else:
            _print_one(each, dry_run=dry_run)
    if requests.free_events:
        say(f"left out: events of the call that cost nothing: {requests.free_events:,}")
    if len(shown) > 1:
        say(_summary(shown, dry_run=dry_run))
    return any(_is_refused(each["outputs"]) or _is_refused(each.get("first", ())) for each in shown)


def _print_one(each: dict[str, Any], *, dry_run: bool) -> None:
    from application.commands.outcome_sentences import REJECTED, in_words, kept_time, would_be
    from cli.terminal.output import tell
    from metering.records import RefundStatus

    for output in each["outputs"]:
        tell(would_be(output) if dry_run else in_words(output))
    if not each["repeated"]:
        return
    account = each["account_id"]
    tell(f"repeated: nothing changed; {account} has had a refund request {each['id']} before")
    for row in each.get("first", ()):
        then = f"the first time, {kept_time(row['requested_at'])}"
        if row["status"] == RefundStatus.REJECTED:
            why = REJECTED[row["reject_reason"]]
            tell(f"{then}: rejected: {why}. Ask again with another --id")
        else:
            what = f"{row['credits']:,} {row['credit_type']}"
            tell(f"{then}: refunded {row['charge']}: {what}")


def _summary(shown: list[dict[str, Any]], *, dry_run: bool) -> str:
    from metering.records import Kind

    refunded: Counter[str] = Counter()
    for each in shown:
        for output in each["outputs"]:
            if output["type"] == Kind.REFUND and output["credit_type"] is not None:
                refunded[output["credit_type"]] += output["credits"]
    amounts = ", ".join(f"{credits_:,} {name}" for name, credits_ in sorted(refunded.items())) or "nothing"
    rejected = sum(_is_refused(each["outputs"]) for each in shown)
    repeated = sum(each["repeated"] for each in shown)
    word = "would be refunded" if dry_run else "refunded"
    return f"{amounts} {word} in {len(shown):,} requests; {rejected:,} rejected, {repeated:,} repeated"


def _is_refused(outputs: Iterable[dict[str, Any]]) -> bool:
    from metering.records import Kind, RefundStatus

    return any(
        output.get("type") == Kind.DEAD_LETTER or output.get("status") == RefundStatus.REJECTED for output in outputs
    )
