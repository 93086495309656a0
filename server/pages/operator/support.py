"""What support does for an account: grants, refunds tried and made, settings. Each waits for the log's decision.

A form carries the command's own id, made with the page: sending it twice is one command, and its repeat.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from starlette.responses import Response

from application.access.identity import Action
from application.accounts.snapshot import account_snapshot
from application.commands.account_settings import AccountSettings, PlanSetting, replace_settings
from application.commands.fields import BadField
from application.commands.grants import GrantOrder, grant_credits
from application.commands.outcome_sentences import in_words, would_be
from application.commands.refunds import RefundOrder, RefundResult, make_refunds, refund_requests, rehearse_refunds
from application.commands.repeats import Repeat
from metering.records import Kind
from server.api.commands import SECONDS
from server.api.problems import Mistake, Problem, ProblemType
from server.api.reads import reads_of
from server.pages import times
from server.pages.notices import redirect_with_notice
from server.pages.page_call import PageCall
from server.pages.rendering import page
from server.pages.routing import Page
from server.pages.settings.changing import author_of
from streams import clock
from streams.log.partitioner import partition_of

T = TypeVar("T")
_REFUND_FIELDS = ("event_id", "request_id", "charge", "credits", "reason", "refund_id")


async def get_support(call: PageCall) -> Response:
    """The forms."""
    account = call.account or ""
    usage = reads_of(call).usage
    partition = partition_of(account, usage.positions.partitions)
    snapshot = await asyncio.to_thread(account_snapshot, usage.store, account, partition, call.parts.unloaded)
    return page(
        call, "support.html", snapshot=snapshot, types=sorted(snapshot.balances), new_id=uuid.uuid4,
        event_id=call.first("event_id"),
    )  # fmt: skip


async def post_grant(call: PageCall) -> Response:
    """Give the account credits."""
    order = GrantOrder(
        call.account or "", call.field("credit_type"), _whole(call, "credits") or 0, clock.now_ms(),
        _end_of_day(call, "expires_on"), call.field("grant_id"), call.field("reason"),
    )  # fmt: skip
    await _decided(order.record)
    await _note(call, "grant", order.grant_id, credits=str(order.credits), credit_type=order.credit_type)
    result = await _decided(grant_credits, call.parts.pipeline, order, SECONDS)
    return _answer(call, result.decided.outputs, result.decided.repeat)


async def post_refund(call: PageCall) -> Response:
    """Say what a refund would do, or make it."""
    fields = {name: call.field(name) or None for name in _REFUND_FIELDS}
    order = RefundOrder(
        fields["event_id"], fields["request_id"], call.account, fields["charge"], _whole(call, "credits"),
        fields["reason"] or "", fields["refund_id"],
    )  # fmt: skip
    if (order.event_id is None) == (order.request_id is None):
        raise _wrong("event_id", "give either an event or a request")
    pipeline, now = call.parts.pipeline, clock.now_ms()
    requests = await _decided(refund_requests, pipeline, order, now)
    if call.field("dry_run") == "true":
        async with call.parts.large_bodies:
            results = await _decided(rehearse_refunds, pipeline, requests, now)
        sentences = [_of_event(result, would_be) for result in results]
        return page(call, "refund_trial.html", sentences=sentences, fields=fields, free=requests.free_events)
    for request in requests.records:
        await _note(call, "refund", request["refund_id"], event_id=request["event_id"])
    results = await _decided(make_refunds, pipeline, requests, SECONDS)
    outputs = [output for result in results for output in result.outputs]
    return _answer(call, outputs, next((result.repeat for result in results if result.repeat is not None), None))


async def post_settings(call: PageCall) -> Response:
    """Replace the account's settings, all of them."""
    plan, account = call.field("plan"), call.account or ""
    started_at = _start_of_day(call, "started_on")
    now = clock.now_ms()
    setting = None
    if plan:
        setting = PlanSetting(plan, now if started_at is None else started_at, _end_of_day(call, "ends_on"))
    marks = {}
    for name, text in zip(call.fields.get("mark_type", ()), call.fields.get("mark", ()), strict=False):
        if name.strip() and text.strip():
            marks[name.strip()] = _number("mark", text)
    settings = AccountSettings(setting, call.field("on_empty"), marks)
    update_id = call.field("update_id")
    await _note(call, "settings.replaced", update_id, on_empty=settings.on_empty)
    result = await _decided(replace_settings, call.parts.pipeline, account, settings, update_id, now, SECONDS)
    return _answer(call, result.outputs, result.repeat)


async def _note(call: PageCall, action: str, subject: str, **details: str) -> None:
    """Lists what is about to be sent, with who, when and from where."""
    await asyncio.to_thread(call.access.note_change, author_of(call), action, subject, call.account, **details)


async def _decided(work: Callable[..., T], *arguments: Any) -> T:
    """The use case's result, from a thread. Raises Problem for a wrong field."""
    try:
        return await asyncio.to_thread(work, *arguments)
    except BadField as error:
        raise _wrong(error.field, error.message) from error


def _answer(call: PageCall, outputs: Iterable[Mapping[str, Any]], repeat: Repeat | None) -> Response:
    """Back to the forms, with what became of it."""
    if repeat is not None and repeat.is_other_content:
        differences = "; ".join(repeat.differences or ())
        raise Problem(ProblemType.CONFLICT, f"this form was sent before, with other content: {differences}")
    sentences = [_words(output, in_words) for output in outputs]
    is_bad = any("set aside" in sentence or sentence.startswith("rejected") for sentence in sentences)
    text = "It was done before: nothing was done again." if repeat is not None else f"Done. {_sentence(sentences)}"
    return redirect_with_notice(
        call, call.account_url("support"), _sentence(sentences) if is_bad else text, kind="bad" if is_bad else ""
    )


def _of_event(result: RefundResult, words: Callable[[Mapping[str, Any]], str]) -> str:
    if result.is_repeated:
        return f"event {result.event_id}: a refund of this id was made before"
    return "; ".join(_words(output, words) for output in result.outputs) or f"event {result.event_id}: nothing"


def _words(output: Mapping[str, Any], words: Callable[[Mapping[str, Any]], str]) -> str:
    if output["type"] == Kind.DEAD_LETTER:
        return f"set aside: {output['reason']}: {output['detail']}"
    return words(output)


def _sentence(sentences: list[str]) -> str:
    text = "; ".join(sentences) or "nothing changed"
    return f"{text[0].upper()}{text[1:]}."


def _whole(call: PageCall, name: str) -> int | None:
    text = call.field(name)
    return _number(name, text) if text else None


def _number(name: str, text: str) -> int:
    plain = text.strip().replace(",", "")
    if not (plain.isascii() and plain.isdigit() and len(plain) < 19):
        raise _wrong(name, "should be a whole number")
    return int(plain)


def _start_of_day(call: PageCall, name: str) -> int | None:
    """A date field's first instant (ms) in the reader's zone."""
    text = call.field(name)
    try:
        return times.parsed(text, call.zone) if text else None
    except (ValueError, OverflowError) as error:
        raise _wrong(name, "should be a date, as 2026-11-26") from error


def _end_of_day(call: PageCall, name: str) -> int | None:
    """The first instant (ms) after a date field's day."""
    start = _start_of_day(call, name)
    return None if start is None else times.day_start(start, call.zone, 1)


def _wrong(name: str, text: str) -> Problem:
    return Problem(ProblemType.INVALID_ITEMS, "nothing was sent: go back and try again", [Mistake(name, text)])


_ACCOUNT = "/accounts/{account}"
PAGES = (
    Page("GET", f"{_ACCOUNT}/support", Action.GRANT, get_support, "What support does"),
    Page("POST", f"{_ACCOUNT}/support/grants", Action.GRANT, post_grant, "Give credits"),
    Page("POST", f"{_ACCOUNT}/support/refunds", Action.REFUND, post_refund, "Try or make a refund"),
    Page("POST", f"{_ACCOUNT}/support/settings", Action.CHANGE_SETTINGS, post_settings, "Replace settings"),
)
