"""Why an event was set aside, and what can be done about it, in plain words."""

from __future__ import annotations

from application.wording import shown_time
from metering.explanation import Explanation, Refusal
from metering.records import DeadLetterReason

_LONGEST_VALUE = 100


def refused_because(explanation: Explanation, refusal: Refusal) -> str:
    """Why an event became a dead letter."""
    if refusal.earliest is not None:
        heard = "" if explanation.stream_time is None else f" (its newest is of {shown_time(explanation.stream_time)})"
        return (
            f"It came too late: the account accepted events from {shown_time(refusal.earliest)} on when it entered "
            f"the log{heard}."
        )
    if refusal.latest is not None:
        return (
            f"Its time is in the future: {shown_time(refusal.latest)} was the latest possible when it entered the log."
        )
    if refusal.field is not None:
        value = repr(refusal.value)
        shown = value if len(value) <= _LONGEST_VALUE else f"{value[:_LONGEST_VALUE]}..."
        return f"Its field {refusal.field} is wrong ({shown}): {refusal.detail}."
    return f"It was set aside as {refusal.reason}: {refusal.detail}."


def remedy(reason: str, place: str) -> str:
    """What can be done about a dead letter."""
    replay = f"`creditmeter dead-letters replay {place}"
    match reason:
        case DeadLetterReason.INVALID_EVENT:
            return (
                f"To have it charged, correct it and send it again: `creditmeter dead-letters show --json {place} > "
                f"letter.json`, edit that file, then {replay} --corrected letter.json`."
            )
        case DeadLetterReason.IN_FUTURE:
            return f"To have it charged, send it again once its time has come: {replay}`."
        case DeadLetterReason.TOO_LATE:
            return f"Sent again as it is, it would be too late again ({replay}`): its time is what is wrong with it."
        case DeadLetterReason.WRONG_PARTITION:
            return f"To have it charged, send it again, to the right partition: {replay}`."
        case _:
            return f"`creditmeter dead-letters show {place}` shows its bytes."
