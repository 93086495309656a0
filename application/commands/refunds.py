"""Which refund requests a person's words come to: one event, or every charged event of a call; and each one's id.

A refund request counts once by its id, also when it was rejected. For one event the id is random unless it is given.
For the events of a call each id follows from the call's, so that the same command again asks for nothing twice.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from application.clickhouse.asking import known_rows, literal, rows_of
from application.configuration.settings import Settings
from application.errors import Failed
from application.pipeline import opened
from application.status.lag import GroupLag
from cli.terminal.output import say
from metering.records import Decision
from replay.account import is_account_id
from streams.log.partitioner import partition_of

_ACCOUNTS_SHOWN = 5
_IDS_IN_A_STATEMENT = 1_000


@dataclass(frozen=True)
class Wanted:
    """What was asked for on the command line: exactly one of `event_id` and `request_id` is set."""

    event_id: str | None
    request_id: str | None
    account: str | None
    charge: str | None
    credits: int | None
    reason: str
    refund_id: str | None


@dataclass(frozen=True)
class Requests:
    """RefundRequests of one account, and how many events of the call are left out because they cost nothing."""

    account_id: str
    records: list[dict[str, Any]]
    free_events: int = 0


def refund_requests(settings: Settings, wanted: Wanted, now: int) -> Requests:
    """The requests, all at the time `now` (ms). Asks ClickHouse for what the options do not say. Raises Failed."""
    if wanted.event_id is not None:
        account = wanted.account if wanted.account is not None else _account_of(settings, wanted.event_id)
        refund_id = wanted.refund_id or str(uuid.uuid4())
        return Requests(account, [_record(wanted, account, wanted.event_id, refund_id, now)])
    account, events, free = _events_of(settings, wanted)
    records = [_record(wanted, account, each, event_refund_id(wanted, each), now) for each in events]
    return Requests(account, records, free)


def say_what_is_not_loaded(settings: Settings, account: str | None) -> None:
    """Says that events of a call may be missing where something waits to be decided or loaded. Raises Failed."""
    waiting = 0
    with opened(settings) as cluster:
        names, partitions = cluster.names, cluster.partitions
        only = None if account is None or not is_account_id(account) else partition_of(account, partitions)
        for group, topic in ((names.rating_group, names.requests), (names.loading_group, names.billed)):
            with closing(GroupLag(cluster.bootstrap, group, cluster.security)) as lag:
                behind = lag.by_partition([topic], partitions)
            waiting += sum(count for (_, each), count in behind.items() if only in {None, each})
    if waiting:
        say(
            f"ClickHouse may not have all of the call yet: {waiting:,} messages wait for the worker or the loader. "
            "Repeat this command when `creditmeter status` shows none: nothing is refunded twice"
        )


def event_refund_id(wanted: Wanted, event_id: str) -> str:
    """The refund id of one event of a call: from the id that was given, else from the call and the charge."""
    basis = [wanted.refund_id] if wanted.refund_id is not None else [wanted.request_id, wanted.charge]
    digest = hashlib.sha256(json.dumps([*basis, event_id]).encode()).hexdigest()
    return f"request:{digest[:40]}"


def first_results(settings: Settings, account_id: str, refund_ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """What refunds of these ids did the first time, by id, as far as ClickHouse has them at hand."""
    found: dict[str, list[dict[str, Any]]] = {}
    for start in range(0, len(refund_ids), _IDS_IN_A_STATEMENT):
        ids = ", ".join(map(literal, refund_ids[start : start + _IDS_IN_A_STATEMENT]))
        rows = known_rows(
            settings,
            "SELECT refund_id, requested_at, event_id, line, charge, status, reject_reason, credits, credit_type "  # noqa: S608 - quoted
            f"FROM refunds WHERE account_id = {literal(account_id)} AND refund_id IN ({ids}) "
            "ORDER BY source_offset, position",
        )
        for row in rows:
            found.setdefault(row.pop("refund_id"), []).append(row)
    return found


def _record(wanted: Wanted, account: str, event_id: str, refund_id: str, now: int) -> dict[str, Any]:
    return {
        "refund_id": refund_id,
        "account_id": account,
        "event_id": event_id,
        "charge": wanted.charge,
        "credits": wanted.credits,
        "reason": wanted.reason,
        "requested_at": now,
    }


def _account_of(settings: Settings, event_id: str) -> str:
    where = f"event_id = {literal(event_id)}"
    sql = f"SELECT DISTINCT account_id FROM billed_events WHERE {where} ORDER BY account_id"  # noqa: S608 - quoted
    accounts = [row["account_id"] for row in rows_of(settings, f"{sql} LIMIT {_ACCOUNTS_SHOWN + 1}")]
    return _only(accounts, f"event {event_id!r}")


def _events_of(settings: Settings, wanted: Wanted) -> tuple[str, list[str], int]:
    """The account, its charged events of the call in the log's order, and how many others there are."""
    what = f"request_id {wanted.request_id!r}"
    where = f"request_id = {literal(wanted.request_id or '')}"
    if wanted.account is not None:
        where += f" AND account_id = {literal(wanted.account)}"
    charged = f"decision = '{Decision.CHARGED}'"
    if wanted.charge is not None:
        charged += f" AND ifNull(charge, '') = {literal(wanted.charge)}"
    rows = rows_of(
        settings,
        f"SELECT account_id, event_id, countIf({charged}) AS charged FROM billed_events "  # noqa: S608 - quoted
        f"WHERE {where} GROUP BY account_id, event_id ORDER BY min(source_offset), min(position)",
    )
    account = _only(list(dict.fromkeys(row["account_id"] for row in rows)), what)
    events = [row["event_id"] for row in rows if int(row["charged"])]
    if not events:
        for_charge = f" for {wanted.charge}" if wanted.charge is not None else ""
        raise Failed(f"Nothing was charged{for_charge} by the {len(rows):,} events of {what}: nothing to refund.")
    return account, events, len(rows) - len(events)


def _only(accounts: list[str], what: str) -> str:
    if not accounts:
        raise Failed(
            f"ClickHouse has no line of {what}: it is not loaded yet, or never arrived. With --account and the event's "
            "id the log itself is asked."
        )
    if len(accounts) > 1:
        shown = ", ".join(accounts[:_ACCOUNTS_SHOWN]) + (", …" if len(accounts) > _ACCOUNTS_SHOWN else "")
        raise Failed(f"Several accounts have {what}: {shown}. Say which with --account.")
    return accounts[0]
