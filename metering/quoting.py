"""The most that an event can cost by a price book, before it is in the log: no claim, balance or hold is looked at."""

from __future__ import annotations

from typing import Any

from metering.account import Account
from metering.book import Book
from metering.claims import claim_key
from metering.records import Outcome, Record

_PROCESSED = Outcome.PROCESSED.value


def most_cost(book: Book, event: Record, plan: list[Any] | None) -> dict[str, int]:
    """Credits by credit type, as if nothing had been bought before; types that cost nothing are absent.

    `event` is good by `metering.validation`; `plan` is the account's own, [name, started_at, ends_at], or None. The
    version, the plan that counts and the matching charges are chosen as deciding chooses them (SPEC 2 and 3).
    """
    if event["outcome"] != _PROCESSED:
        return {}
    account = Account(event["account_id"])
    account.plan = plan
    name, locked_to = account.plan_for(event["occurred_at"], event["plan"])
    version = book.version_for(event["occurred_at"], locked_to)
    if version is None:
        return {}
    costs: dict[str, int] = {}
    for charge, unit_credits in book.matching(version, event["endpoint"], event["channel"], name, event["attributes"]):
        if charge.unique is not None and claim_key(charge, charge.unique, event) is None:
            continue  # a subject is missing: it would cost nothing
        units = 1 if charge.per is None else event["quantities"].get(charge.per, 0)
        if units * unit_credits:
            costs[charge.credit_type] = costs.get(charge.credit_type, 0) + units * unit_credits
    return costs
