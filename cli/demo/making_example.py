"""Makes the example account in a pipeline that runs: its prices, its history through the real log, its members."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from application.errors import ErrorCode, Failed
from cli.demo.example_account import ACCOUNT, MEMBERS, example_book, example_commands
from streams import clock

if TYPE_CHECKING:
    from application.access.access import Access
    from application.access.authors import Author
    from application.pipeline import Pipeline

_SECONDS = 180.0
_LOOK_SECONDS = 0.2
_MADE = f"SELECT count() AS number FROM grant_rows WHERE account_id = '{ACCOUNT}' AND grant_id = 'example-welcome'"  # noqa: S608
"""Whether the example was made here before."""


def make_example(pipeline: Pipeline, access: Access, author: Author, report: Callable[[str], None]) -> None:
    """Return when the account's history is in ClickHouse; at once where it was made before.

    Raises Failed (CONFLICT) where somebody else's prices are published: the example's would change them.
    """
    from application.access.members import put_member
    from application.clickhouse.asking import rows_of
    from application.prices.publishing import BookLog, publish_book

    if int(rows_of(pipeline.sql, _MADE)[0]["number"]):
        return
    if any(book is not None for book in BookLog.of(pipeline).in_force()):
        raise Failed(
            "--example publishes prices of its own, and this pipeline has some already: use an empty folder, or "
            "another data_dir and topic_prefix",
            ErrorCode.CONFLICT,
        )
    now = clock.now_ms()
    report(f"Making the example account {ACCOUNT}: prices, members and 75 days of calls …")
    publish_book(pipeline, example_book(now), now)
    for actor, name, _ in MEMBERS:
        put_member(access, author, ACCOUNT, actor, name, f"{actor}@{ACCOUNT}.example")
    with pipeline.connections.command_sender("example") as sender:
        for kind, record in example_commands(now):
            sender.send_command(kind, record)
    _wait_until_loaded(pipeline)


def _wait_until_loaded(pipeline: Pipeline) -> None:
    """Raises Failed where the worker or the loader does not come to the end in time."""
    names, deadline = pipeline.names, clock.monotonic() + _SECONDS
    for group, topics in ((names.rating_group, (names.requests,)), (names.loading_group, names.loaded)):
        while behind := sum(pipeline.lag(group, topics).values()):
            if clock.monotonic() > deadline:
                raise Failed(f"{group} is {behind:,} messages behind after {_SECONDS:.0f} s; see the logs in data_dir")
            clock.sleep(_LOOK_SECONDS)
