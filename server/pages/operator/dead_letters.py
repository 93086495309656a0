"""What was set aside, and sending it again."""

from __future__ import annotations

import asyncio

from starlette.responses import Response

from application.access.identity import Action
from application.dead_letters.listing import LetterFilters, listed_letters
from metering.records import Command, DeadLetterReason
from server.api.dead_letters import replayed
from server.api.reads import reads_of
from server.pages.notices import redirect_with_notice
from server.pages.page_call import PageCall, url_of
from server.pages.rendering import page
from server.pages.routing import Page
from server.pages.settings.changing import author_of

LIMIT = 50
_PATH = "/operator/dead-letters"
_FILTERS = ("account", "reason", "command", "id")


async def get_dead_letters(call: PageCall) -> Response:
    """The newest first."""
    chosen = {name: call.first(name) for name in _FILTERS}
    filters = LetterFilters(
        chosen["account"] or None, chosen["reason"] or None, chosen["command"] or None, chosen["id"] or None,
        call.first("before") or None,
    )  # fmt: skip
    listed = await asyncio.to_thread(listed_letters, reads_of(call).usage.store, filters, LIMIT)
    return page(
        call, "operator_dead_letters.html", letters=listed.letters, chosen=chosen, reasons=list(DeadLetterReason),
        commands=list(Command), older=listed.next and url_of(_PATH, {**chosen, "before": listed.next}),
        first=url_of(_PATH, chosen) if call.first("before") else None, here=url_of(_PATH, chosen),
    )  # fmt: skip


async def post_replay(call: PageCall) -> Response:
    """Send one again as it was; the next page says what became of it."""
    place = call.field("place")
    await asyncio.to_thread(call.access.note_change, author_of(call), "dead_letter.replayed", place, None)
    replay = await asyncio.to_thread(replayed, call.parts.pipeline, place)
    call.facts["replayed"] = place
    kind = "" if replay.is_settled else "bad"
    return redirect_with_notice(call, _PATH, f"Sent again {replay.sentence()}.", kind=kind)


PAGES = (
    Page("GET", _PATH, Action.READ_DEAD_LETTERS, get_dead_letters, "What was set aside"),
    Page("POST", f"{_PATH}/replay", Action.REPLAY_DEAD_LETTERS, post_replay, "Send a dead letter again"),
)
