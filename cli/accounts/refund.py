"""`creditmeter refund`: give back what an event, or every event of a call, was charged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from cli.access.opening import note_typed_changes
from cli.terminal.command import Command
from cli.terminal.options import json_option, wait_option, with_configuration
from cli.terminal.output import print_json

if TYPE_CHECKING:
    from application.commands.refunds import RefundRequests, RefundResult
    from application.configuration.settings import Settings
    from application.configuration.sources import Configuration
    from application.pipeline import Pipeline


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
@click.option("--dry-run", is_flag=True, help="Only show what would be refunded or rejected; nothing is sent.")
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
    from application.commands.fields import BadField
    from application.commands.refunds import (
        RefundOrder,
        make_refunds,
        refund_requests,
        rehearse_refunds,
        remark_what_is_not_loaded,
    )
    from application.pipeline import opened
    from cli.terminal.exits import usage_error
    from cli.terminal.progress import TerminalNotices
    from streams import clock

    if (event_id is None) == (request_id is None):
        raise click.UsageError("give EVENT_ID or --request-id, one of them")
    if credits_ is not None and request_id is not None:
        raise click.UsageError("--credits is of one event: give EVENT_ID, or leave it out to refund all of the call")
    now = clock.now_ms()
    order = RefundOrder(event_id, request_id, account, charge, credits_, reason, refund_id)
    with opened(configuration.settings, TerminalNotices()) as pipeline:
        if request_id is not None:
            remark_what_is_not_loaded(pipeline, account)
        try:
            requests = refund_requests(pipeline, order, now)
        except BadField as error:
            raise usage_error(error, _OPTION) from error
        if dry_run:
            results = rehearse_refunds(pipeline, requests, now)
        else:
            list_refunds(configuration.settings, pipeline, requests)
            results = make_refunds(pipeline, requests, wait)
    _print(results, requests, as_json=as_json, dry_run=dry_run)
    if any(result.is_refused for result in results):
        raise click.exceptions.Exit(1)


def list_refunds(settings: Settings, pipeline: Pipeline, requests: RefundRequests) -> None:
    """Puts them into the list of changes, before they are sent. Raises UseCaseError."""
    from application.access.access import ChangeNote

    changes = [
        ChangeNote("refund", record["refund_id"], requests.account_id, {"event_id": record["event_id"]})
        for record in requests.records
    ]
    note_typed_changes(settings, pipeline, changes)


_OPTION = {
    "refund_id": "--id", "account_id": "--account", "event_id": "EVENT_ID", "charge": "--charge",
    "credits": "--credits", "reason": "--reason",
}  # fmt: skip


def _print(results: Sequence[RefundResult], requests: RefundRequests, *, as_json: bool, dry_run: bool) -> None:
    from cli.terminal.output import print_status

    for result in results:
        if as_json:
            print_json(result.as_json())
        else:
            _print_one(result, dry_run=dry_run)
    if requests.free_events:
        print_status(f"left out: events of the call that cost nothing: {requests.free_events:,}")
    if len(results) > 1:
        print_status(_summary(results, dry_run=dry_run))


def _print_one(result: RefundResult, *, dry_run: bool) -> None:
    from application.commands.outcome_sentences import REJECTED, in_words, kept_time, would_be
    from application.commands.repeats import repeat_in_words
    from application.wording import amount
    from cli.terminal.output import print_line
    from metering.records import RefundStatus

    for output in result.outputs:
        print_line(would_be(output) if dry_run else in_words(output))
    if result.repeat is None:
        return
    print_line(repeat_in_words(result.repeat, f"refund request {result.refund_id} of {result.account_id}"))
    for row in result.first:
        then = f"the first time, {kept_time(row['requested_at'])}"
        if row["status"] == RefundStatus.REJECTED:
            print_line(f"{then}: rejected: {REJECTED[row['reject_reason']]}. Ask again with another --id")
        else:
            print_line(f"{then}: refunded {row['charge']}: {amount(row['credits'], row['credit_type'])}")


def _summary(results: Sequence[RefundResult], *, dry_run: bool) -> str:
    from application.wording import amount
    from metering.records import Kind

    refunded: Counter[str] = Counter()
    for result in results:
        for output in result.outputs:
            if output["type"] == Kind.REFUND and output["credit_type"] is not None:
                refunded[output["credit_type"]] += output["credits"]
    sums = ", ".join(amount(credits_, name) for name, credits_ in sorted(refunded.items())) or "nothing"
    rejected = sum(result.is_refused for result in results)
    repeated = sum(result.is_repeated for result in results)
    word = "would be refunded" if dry_run else "refunded"
    return f"{sums} {word} in {len(results):,} requests; {rejected:,} rejected, {repeated:,} repeated"
