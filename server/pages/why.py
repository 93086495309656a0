"""The Why page: one event as `explain` tells it, with what it is connected to."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from application.access.identity import Action
from application.explaining.from_rows import EventExplanation, explain_from_rows
from application.usage.scope import scope_of
from application.wording import amounts
from server.api.explanations import book_or_none
from server.api.problems import Problem, ProblemType
from server.api.reads import names_of, reads_of
from server.api.usage import query_problems
from server.pages.page_call import PageCall
from server.pages.rendering import page
from server.pages.routing import Page
from server.pages.row_actions import action_links

_SUBJECTS = ("user_id", "ip", "domain")
_ALL_TIME = {"period": "all", "refunds": "true"}


async def get_why(call: PageCall) -> Response:
    """One event of the account."""
    scope, reads, event_id = scope_of(call.who, call.account, Action.EXPLAIN), reads_of(call), call.ids["event_id"]
    with query_problems(lambda name: name):
        story = await asyncio.to_thread(explain_from_rows, reads.usage, scope, event_id, book_or_none(reads))
    if story is None:
        raise Problem(ProblemType.NOT_FOUND, "no event of this id is loaded for this account, or you may not see it")
    event = story.lines[0].fields if story.lines else None
    return page(
        call, "why.html", story=story, event=event, headline=_headline(story),
        user=event and names_of(call, call.account).get(event["actor"], event["actor"]),
        facts=[] if event is None else _facts(call, event),
        actions=[] if event is None else list(action_links(call.parts.face.row_actions, event)),
        here=call.event_url(event_id),
    )  # fmt: skip


def _headline(story: EventExplanation) -> str:
    if not story.lines:
        return "Set aside"
    charged = f"Charged {amounts(story.credits)}" if story.credits else "Charged nothing"
    return f"{charged}, {amounts(story.refunded)} given back" if story.refunded else charged


def _facts(call: PageCall, event: Mapping[str, Any]) -> list[tuple[str, str, str | None]]:
    """Label, value and where it leads, of all that the event says."""
    names = (
        ("Endpoint", "endpoint"), ("Channel", "channel"), ("Outcome", "outcome"), ("Request", "request_id"),
        ("User id", "user_id"), ("IP address", "ip"), ("Domain", "domain"), ("Plan", "plan"), ("Hold", "hold_id"),
    )  # fmt: skip
    facts = [(label, event[name], _others(call, name, event[name])) for label, name in names if event[name] is not None]
    facts += [(f"Quantity {name}", f"{count:,}", None) for name, count in sorted(event["quantities"].items())]
    return facts + [(f"Attribute {name}", value, None) for name, value in sorted(event["attributes"].items())]


def _others(call: PageCall, name: str, value: str) -> str | None:
    """Where the others of the same request or subject are."""
    if name == "request_id":
        return call.account_url("history", {**_ALL_TIME, "request_id": value})
    return call.account_url("history", {**_ALL_TIME, "subject": value}) if name in _SUBJECTS else None


PAGES = (
    Page("GET", "/accounts/{account}/events/{event_id}", Action.EXPLAIN, get_why, "Why an event cost what it cost"),
)  # fmt: skip
