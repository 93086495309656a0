"""Refund requests of an order: for one event, or for every charged event of a call; and their ids.

A refund request counts once by its id, also when it was rejected. For one event the id is random unless it is given.
For the events of a call each id follows from the call's, so that the same command again asks for nothing twice.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from application.accounts.opening import opened_replay
from application.clickhouse.asking import literal, rows_of, rows_or_empty
from application.commands.fields import raise_on_bad_field
from application.commands.repeats import Repeat, repeat_of
from application.commands.submitting import printed, submit_and_wait
from application.errors import ErrorCode, Failed
from application.pipeline import Pipeline
from metering import apply
from metering.records import Command, Decision, Kind, RefundStatus
from replay.account import is_account_id
from streams.log.partitioner import partition_of

_ACCOUNTS_SHOWN = 5
_IDS_IN_A_STATEMENT = 1_000


@dataclass(frozen=True)
class RefundOrder:
    """What was asked for: exactly one of `event_id` and `request_id` is set."""

    event_id: str | None
    request_id: str | None
    account: str | None
    charge: str | None
    credits: int | None
    reason: str
    refund_id: str | None


@dataclass(frozen=True)
class RefundRequests:
    """RefundRequests of one account, and how many events of the call are left out because they cost nothing."""

    account_id: str
    records: list[dict[str, Any]]
    free_events: int = 0


def refund_requests(pipeline: Pipeline, wanted: RefundOrder, now: int) -> RefundRequests:
    """The requests, all at the time `now` (ms). Asks ClickHouse for what the order does not say.

    Raises BadField with the first wrong field, Failed.
    """
    requests = _requests(pipeline, wanted, now)
    for record in requests.records:
        raise_on_bad_field(Command.REFUND, record)
    return requests


def _requests(pipeline: Pipeline, wanted: RefundOrder, now: int) -> RefundRequests:
    if wanted.event_id is not None:
        account = wanted.account if wanted.account is not None else _account_of(pipeline, wanted.event_id)
        refund_id = wanted.refund_id or str(uuid.uuid4())
        return RefundRequests(account, [_record(wanted, account, wanted.event_id, refund_id, now)])
    account, events, free = _events_of(pipeline, wanted)
    records = [_record(wanted, account, event_id, event_refund_id(wanted, event_id), now) for event_id in events]
    return RefundRequests(account, records, free)


def remark_what_is_not_loaded(pipeline: Pipeline, account: str | None) -> None:
    """Remarks that events of a call may be missing where messages wait to be decided or loaded. Raises LogError."""
    names = pipeline.names
    only = None if account is None or not is_account_id(account) else partition_of(account, pipeline.partitions)
    waiting = 0
    for group, topic in ((names.rating_group, names.requests), (names.loading_group, names.billed)):
        lag = pipeline.lag(group, (topic,))
        waiting += sum(count for (_, partition), count in lag.items() if only in {None, partition})
    if waiting:
        pipeline.notices.remark(
            f"ClickHouse may not have all of the call yet: {waiting:,} messages wait for the worker or the loader. "
            "Repeat this command when `creditmeter status` shows none: nothing is refunded twice"
        )


@dataclass(frozen=True)
class RefundResult:
    """What became of one refund request, or would. Outputs carry their `type` as `rate` prints it.

    `first`: for a repeat, the rows of the first request of that id that ClickHouse has; `repeat`: how it differs.
    """

    refund_id: str
    account_id: str
    event_id: str
    outputs: list[dict[str, Any]]
    is_repeated: bool
    place: str | None = None
    first: tuple[dict[str, Any], ...] = ()
    repeat: Repeat | None = None

    @property
    def is_other_content(self) -> bool:
        """Whether it was taken for a repeat and asked for something else than the first request of its id."""
        return self.repeat is not None and self.repeat.is_other_content

    @property
    def is_refused(self) -> bool:
        """Whether nothing was given back: it was rejected or set aside, now or the first time, or is another's id."""
        return self.is_other_content or any(
            output.get("type") == Kind.DEAD_LETTER or output.get("status") == RefundStatus.REJECTED
            for output in (*self.outputs, *self.first)
        )

    def as_json(self) -> dict[str, Any]:
        """For programs. A dry run has no place and no first request."""
        about = {
            "command": Command.REFUND, "id": self.refund_id, "account_id": self.account_id,
            "repeat_of": None if self.repeat is None else self.repeat.as_json(),
        }  # fmt: skip
        if self.place is None:
            return {**about, "event_id": self.event_id, "outputs": self.outputs, "repeated": self.is_repeated}
        return {
            **about, "place": self.place, "outputs": self.outputs, "event_id": self.event_id,
            "repeated": self.is_repeated, "first": list(self.first),
        }  # fmt: skip


def make_refunds(pipeline: Pipeline, requests: RefundRequests, seconds: float) -> list[RefundResult]:
    """Sends the requests and waits up to `seconds` for their decisions. Raises LogError, NotDecided."""
    decided = submit_and_wait(pipeline, Command.REFUND, requests.records, seconds)
    repeats = [result.own_id for result in decided if result.is_repeated]
    first = first_results(pipeline, requests.account_id, repeats)
    return [
        RefundResult(
            result.own_id, requests.account_id, result.record["event_id"], list(result.outputs), result.is_repeated,
            result.place, tuple(first.get(result.own_id, ())), result.repeat,
        )
        for result in decided
    ]  # fmt: skip


def rehearse_refunds(pipeline: Pipeline, requests: RefundRequests, now: int) -> list[RefundResult]:
    """Applies the requests on a copy of the account's present state; nothing is sent. `now` in ms. Raises LogError."""
    results = []
    with opened_replay(pipeline, requests.account_id) as opened:
        opened.run()
        replay = opened.replay
        for record in requests.records:
            outputs = apply(replay.state, Command.REFUND, dict(record), now)
            answer = next((output.record for output in outputs if output.kind is Kind.REPEATED), None)
            repeat = None if answer is None else repeat_of(pipeline, replay.partition, Command.REFUND, record, answer)
            shown = [printed(output.kind, output.record) for output in outputs if output.kind is not Kind.REPEATED]
            results.append(
                RefundResult(
                    record["refund_id"], requests.account_id, record["event_id"], shown, answer is not None,
                    repeat=repeat,
                )
            )  # fmt: skip
        pipeline.notices.remark(
            f"dry run: nothing is sent; judged by all before {replay.place}@{opened.stop}, from {replay.base.name}"
        )
    return results


def event_refund_id(wanted: RefundOrder, event_id: str) -> str:
    """The refund id of one event of a call: from the id that was given, else from the call and the charge."""
    basis = [wanted.refund_id] if wanted.refund_id is not None else [wanted.request_id, wanted.charge]
    digest = hashlib.sha256(json.dumps([*basis, event_id]).encode()).hexdigest()
    return f"request:{digest[:40]}"


def first_results(pipeline: Pipeline, account_id: str, refund_ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """What refunds of these ids did the first time, by id, as far as ClickHouse has them at hand."""
    by_id: dict[str, list[dict[str, Any]]] = {}
    for start in range(0, len(refund_ids), _IDS_IN_A_STATEMENT):
        ids = ", ".join(map(literal, refund_ids[start : start + _IDS_IN_A_STATEMENT]))
        rows = rows_or_empty(
            pipeline.sql,
            "SELECT refund_id, requested_at, event_id, line, charge, status, reject_reason, credits, credit_type "  # noqa: S608 - quoted
            f"FROM refunds WHERE account_id = {literal(account_id)} AND refund_id IN ({ids}) "
            "ORDER BY source_offset, position",
        )
        for row in rows:
            by_id.setdefault(row.pop("refund_id"), []).append(row)
    return by_id


def _record(wanted: RefundOrder, account: str, event_id: str, refund_id: str, now: int) -> dict[str, Any]:
    return {
        "refund_id": refund_id,
        "account_id": account,
        "event_id": event_id,
        "charge": wanted.charge,
        "credits": wanted.credits,
        "reason": wanted.reason,
        "requested_at": now,
    }


def _account_of(pipeline: Pipeline, event_id: str) -> str:
    where = f"event_id = {literal(event_id)}"
    sql = f"SELECT DISTINCT account_id FROM billed_events WHERE {where} ORDER BY account_id"  # noqa: S608 - quoted
    accounts = [row["account_id"] for row in rows_of(pipeline.sql, f"{sql} LIMIT {_ACCOUNTS_SHOWN + 1}")]
    return _only(accounts, f"event {event_id!r}")


def _events_of(pipeline: Pipeline, wanted: RefundOrder) -> tuple[str, list[str], int]:
    """The account, its charged events of the call in the log's order, and how many others there are."""
    what = f"request_id {wanted.request_id!r}"
    where = f"request_id = {literal(wanted.request_id or '')}"
    if wanted.account is not None:
        where += f" AND account_id = {literal(wanted.account)}"
    charged = f"decision = '{Decision.CHARGED}'"
    if wanted.charge is not None:
        charged += f" AND ifNull(charge, '') = {literal(wanted.charge)}"
    rows = rows_of(
        pipeline.sql,
        f"SELECT account_id, event_id, countIf({charged}) AS charged FROM billed_events "  # noqa: S608 - quoted
        f"WHERE {where} GROUP BY account_id, event_id ORDER BY min(source_offset), min(position)",
    )
    account = _only(list(dict.fromkeys(row["account_id"] for row in rows)), what)
    events = [row["event_id"] for row in rows if int(row["charged"])]
    if not events:
        for_charge = f" for {wanted.charge}" if wanted.charge is not None else ""
        raise Failed(
            f"Nothing was charged{for_charge} by the {len(rows):,} events of {what}: nothing to refund.",
            ErrorCode.CONFLICT,
        )
    return account, events, len(rows) - len(events)


def _only(accounts: list[str], what: str) -> str:
    if not accounts:
        raise Failed(
            f"ClickHouse has no line of {what}: it is not loaded yet, or never arrived. With --account and the event's "
            "id the log itself is asked.",
            ErrorCode.NOT_FOUND,
        )
    if len(accounts) > 1:
        shown = ", ".join(accounts[:_ACCOUNTS_SHOWN]) + (", …" if len(accounts) > _ACCOUNTS_SHOWN else "")
        raise Failed(f"Several accounts have {what}: {shown}. Say which with --account.", ErrorCode.CONFLICT)
    return accounts[0]
