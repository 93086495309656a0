"""Why an event cost what it cost (SERVER 2), from what is loaded."""

from __future__ import annotations

import asyncio

from starlette.responses import Response

from application.access.identity import Action
from application.errors import ErrorCode, Failed
from application.explaining.from_rows import EventExplanation, explain_from_rows
from application.usage.scope import scope_of
from metering.book import Book
from metering.windows import format_instant
from server.api.answers import json_answer
from server.api.call import Call
from server.api.problems import Problem, ProblemType
from server.api.reads import Reads, reads_of
from server.api.routing import Operation
from server.api.usage import query_problems
from server.api.usage_text import row_json
from server.messages.usage import ExplanationShown


async def explain_event(call: Call) -> Response:
    """One event of an account."""
    scope, reads, event_id = scope_of(call.who, call.account, Action.EXPLAIN), reads_of(call), call.ids["event_id"]
    if scope.account_id is None:
        raise Problem(ProblemType.NOT_FOUND, "name an account")
    with query_problems(lambda name: name):
        explanation = await asyncio.to_thread(explain_from_rows, reads.usage, scope, event_id, book_or_none(reads))
    if explanation is None:
        raise Problem(
            ProblemType.NOT_FOUND, "no event of this id is loaded for this account, or this key may not see it"
        )
    return json_answer(_plain(explanation))


def book_or_none(reads: Reads) -> Book | None:
    """The book in force; without it the sentences say less."""
    try:
        return reads.book().book
    except Failed as error:
        if error.code not in {ErrorCode.UNAVAILABLE, ErrorCode.NOT_FOUND}:
            raise
        return None


def _plain(explanation: EventExplanation) -> dict[str, object]:
    return {
        "as_of": str(explanation.as_of),
        "event_id": explanation.event_id,
        "account_id": explanation.account_id,
        "credits": explanation.credits,
        "refunded": explanation.refunded,
        "lines": [row_json(row) for row in explanation.lines],
        "refunds": [row_json(row) for row in explanation.refunds],
        "holds": [
            {
                "hold_id": row["hold_id"], "status": row["status"], "event_id": row["event_id"],
                "expires_at": format_instant(int(row["expires_ms"])), "at": format_instant(int(row["changed_ms"])),
            }
            for row in explanation.holds
        ],
        "dead_letters": [
            {
                "reason": row["reason"], "field": row["field"], "detail": row["detail"],
                "recorded_at": format_instant(int(row["recorded_ms"])),
            }
            for row in explanation.dead_letters
        ],
        "sentences": explanation.sentences,
    }  # fmt: skip


OPERATIONS = (
    Operation(
        "GET", "/v1/accounts/{account}/events/{event_id}", Action.EXPLAIN, explain_event,
        "Why an event cost what it cost", (), None, {200: ExplanationShown},
    ),
)  # fmt: skip
