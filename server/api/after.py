"""`?after=<receipt>`: a read that waits until it shows what was decided about an item (SERVER.md 1)."""

from __future__ import annotations

from application.ingest.receipts import NotAReceipt, Receipt
from server.api.call import Call
from server.api.contract import Parameter
from server.api.preferences import LONGEST_WAIT, preferences_of
from server.api.problems import Mistake, Problem, ProblemType
from streams.log.partitioner import partition_of

DECIDED_ITEM = Parameter("after", "a receipt: wait until what was decided about its item is shown")
LOADED_ITEM = Parameter("after", "a receipt: wait until the lines of its item are loaded")


async def wait_until_decided(call: Call) -> None:
    """Return when credits, holds and settings show the item of `after`, if one is given. Raises Problem."""
    receipt = _receipt(call)
    following = call.parts.following
    if receipt is not None and following is not None:
        seconds = _seconds(call)
        if not await following.decided(receipt, seconds):
            raise _not_yet("decided", seconds)


async def wait_until_loaded(call: Call) -> None:
    """Return when the history has the lines of the item of `after`, if one is given. Raises Problem."""
    receipt = _receipt(call)
    following = call.parts.following
    if receipt is not None and following is not None:
        seconds = _seconds(call)
        if not await following.loaded(receipt, seconds):
            raise _not_yet("loaded", seconds)


def _receipt(call: Call) -> Receipt | None:
    """Raises Problem 400 for a receipt of another log, or of a partition that the account is not in."""
    text = call.parameter(DECIDED_ITEM.name)
    if text is None:
        return None
    pipeline = call.parts.pipeline
    try:
        receipt = Receipt.parse(text)
    except NotAReceipt as error:
        raise _wrong(error.message) from error
    if not receipt.is_of(pipeline.log_id):
        raise _wrong(f"is of the log {receipt.log_id}; this one is {pipeline.log_id}")
    own = None if call.account is None else partition_of(call.account, pipeline.partitions)
    if receipt.partition >= pipeline.partitions or own not in {None, receipt.partition}:
        raise _wrong("is of no item of this account")
    return receipt


def _wrong(why: str) -> Problem:
    return Problem(ProblemType.INVALID_PARAMETERS, "parameters are wrong", [Mistake(DECIDED_ITEM.name, why)])


def _seconds(call: Call) -> float:
    wait = preferences_of(call).wait
    return LONGEST_WAIT if wait is None else wait


def _not_yet(what: str, seconds: float) -> Problem:
    return Problem(
        ProblemType.UNAVAILABLE,
        f"the item of this receipt was not {what} within {seconds:g} s: ask again, or without the receipt for what is",
    )
