"""Dead letters, listed from what is loaded, and sent again (SERVER 2, operators)."""

from __future__ import annotations

import asyncio
from typing import Annotated

from msgspec import Meta
from starlette.responses import Response

from application.access.identity import Action
from application.dead_letters.listing import BadPlace, LetterFilters, listed_letters
from application.dead_letters.reading import DeadLetter, DeadLetterLog
from application.dead_letters.resending import outcomes, resend
from application.dead_letters.resent import Replay
from application.pipeline import Pipeline
from metering.records import Command, DeadLetterReason
from server.api.access import note_change
from server.api.answers import json_answer
from server.api.call import Call
from server.api.commands import SECONDS, decided
from server.api.contract import Link, Parameter
from server.api.problems import Mistake, Problem, ProblemType
from server.api.reads import reads_of
from server.api.routing import Operation
from server.messages.commands import DeadLetterList, ReplayShown

_PARAMETERS = (
    Parameter("account", "of this account"),
    Parameter("reason", "set aside for this reason", DeadLetterReason),
    Parameter("command", "of this kind", Command),
    Parameter("id", "whose own id is this"),
    Parameter("before", "`next` of the list before"),
    Parameter("limit", "how many, 100 unless given", Annotated[int, Meta(ge=1, le=1_000)]),
)


async def list_dead_letters(call: Call) -> Response:
    """The newest first; `before` is the `next` of the page before."""
    limit = call.parameter("limit") or "100"
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= 1_000):
        raise Problem(
            ProblemType.INVALID_PARAMETERS, "parameters are wrong", [Mistake("limit", "a number from 1 to 1,000")]
        )
    filters = LetterFilters(
        call.parameter("account"), call.parameter("reason"), call.parameter("command"), call.parameter("id"),
        call.parameter("before"),
    )  # fmt: skip
    try:
        listed = await asyncio.to_thread(listed_letters, reads_of(call).usage.store, filters, int(limit))
    except BadPlace as error:
        raise Problem(
            ProblemType.INVALID_PARAMETERS, "parameters are wrong", [Mistake("before", error.message)]
        ) from error
    return json_answer({"dead_letters": listed.letters, "next": listed.next})


async def replay_dead_letter(call: Call) -> Response:
    """Send one again as it was, and answer with what became of it."""
    await note_change(call, "dead_letter.replayed", call.ids["place"], None)
    replay = await decided(replayed, call.parts.pipeline, call.ids["place"])
    call.facts["replayed"] = call.ids["place"]
    return json_answer(replay.row())


def replayed(pipeline: Pipeline, place: str) -> Replay:
    """Raises Misconfigured for what is no place, Failed where no dead letter is there, NotDecided, LogError."""
    log = DeadLetterLog.of(pipeline)
    letters: list[DeadLetter] = [log.at(place)]
    sent = resend(pipeline, log, letters)
    (replay,) = outcomes(pipeline, sent, letters, None, SECONDS)
    return replay


OPERATIONS = (
    Operation(
        "GET", "/v1/dead-letters", Action.READ_DEAD_LETTERS, list_dead_letters, "What was set aside", _PARAMETERS, None,
        {200: DeadLetterList},
        links={
            "replay": Link("POST /v1/dead-letters/{place}/replay", {"place": "$response.body#/dead_letters/0/place"})
        },
    ),
    Operation(
        "POST", "/v1/dead-letters/{place}/replay", Action.REPLAY_DEAD_LETTERS, replay_dead_letter,
        "Send a dead letter again", (), None, {200: ReplayShown}, (ProblemType.CONFLICT, ProblemType.INVALID_ITEMS),
    ),
)  # fmt: skip
