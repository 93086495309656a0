"""What customers' reads need beside the pipeline."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from application.access.members import member_names
from application.access.secret_keys import Purpose, SecretKeys
from application.access.webhooks import shown_urls
from application.accounts.plan import AccountPlans
from application.pipeline import Pipeline
from application.prices.follower import BookFollower
from application.prices.publishing import PublishedBook
from application.prices.rate_limit_counters import RedisCounters
from application.usage.as_of import Positions
from application.usage.choices import KnownChoices
from application.usage.cursors import CursorKeys
from application.usage.history import UsageReader
from application.usage.store import UsageStore
from application.usage.watch import StoreWatch
from server.api.problems import Problem, ProblemType

if TYPE_CHECKING:
    from server.api.call import Call

_RANDOM_BYTES = 32


@dataclass(frozen=True, slots=True)
class Reads:
    """`plans`: each account's own. `book`: the price book in force.

    `public_prices`: whether anybody may see prices without a key.

    `problem`: why the store cannot be read now, None where it can; it never waits.

    `status`: the whole pipeline at one look, None where it cannot be had.

    `choices`: what accounts can filter by.

    `counters`: what accounts have used of rate limits, None where nobody counts it for all processes.

    `primary_credit_type`: what /account/info counts; None: the only one that there is.
    """

    usage: UsageReader
    plans: AccountPlans
    book: Callable[[], PublishedBook]
    problem: Callable[[], str | None]
    primary_credit_type: str | None = None
    public_prices: bool = False
    status: Callable[[], dict[str, Any]] | None = None
    counters: RedisCounters | None = None
    choices: KnownChoices = field(default_factory=KnownChoices)


@contextmanager
def opened_reads(
    pipeline: Pipeline, store: UsageStore, secrets: SecretKeys | None, *, primary_credit_type: str | None = None,
    public_prices: bool = False, status: Callable[[], dict[str, Any]] | None = None,
    counters: RedisCounters | None = None,
) -> Iterator[Reads]:  # fmt: skip
    """Reads over a store, and the price book followed. Without secrets, cursors end with this process."""
    keys = [os.urandom(_RANDOM_BYTES)] if secrets is None else secrets.derived(Purpose.CURSOR)
    usage = UsageReader(store, Positions(store, pipeline.names, pipeline.partitions), CursorKeys(keys))
    follower = BookFollower(pipeline)
    watch = StoreWatch(store)
    follower.start()
    watch.start()
    try:
        yield Reads(
            usage, AccountPlans(store), follower.book, watch.problem, primary_credit_type=primary_credit_type,
            public_prices=public_prices, status=status, counters=counters,
        )  # fmt: skip
    finally:
        watch.close()
        follower.close()


def reads_of(call: Call) -> Reads:
    """What this server reads with. Raises Problem 503 where it has no store."""
    if call.parts.reads is None:
        raise Problem(ProblemType.UNAVAILABLE, "this server has no ClickHouse to read from")
    return call.parts.reads


def names_of(call: Call, account_id: str | None) -> dict[str, str]:
    """The names of an account's people, by actor."""
    access = call.parts.access
    return {} if access is None or account_id is None else member_names(access, account_id)


def webhook_urls_of(call: Call) -> list[str]:
    """The addresses of the account's webhooks, as this key may see them."""
    access = call.parts.access
    return [] if access is None or call.account is None else shown_urls(access, call.who, call.account)
