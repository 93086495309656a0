"""The oracle's holds: every hold that ever was, with a flag that says whether it is still open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.metering.oracle_account import Account, Out


@dataclass
class Hold:
    hold_id: str
    held_at: int
    expires_at: int
    reason: str
    asked: dict[str, int]
    left: dict[str, int]  # still set aside
    charged: dict[str, int]
    is_open: bool


def open_hold(account: Account, hold_id: str | None) -> Hold | None:
    return next((hold for hold in account.holds if hold.is_open and hold.hold_id == hold_id), None)


def end_holds_that_are_over(account: Account, account_id: str, recorded_at: int, at: int) -> list[Out]:
    outputs = []
    over = [hold for hold in account.holds if hold.is_open and hold.expires_at <= recorded_at]
    for hold in sorted(over, key=lambda hold: hold.expires_at):  # then by arrival
        hold.is_open = False
        outputs.append(hold_output(account, account_id, hold, "expired", at, None))
    return outputs


def reserve(account: Account, record: dict[str, Any]) -> list[Out]:
    """Holds with `allow`; with `reject` where no type is asked more of than is available."""
    asked = record["credits"]
    refused = account.settings["on_empty"] == "reject" and any(
        amount > account.available(credit_type) for credit_type, amount in asked.items()
    )
    hold = Hold(
        record["hold_id"],
        record["held_at"],
        record["expires_at"],
        record["reason"],
        asked,
        dict(asked),
        {},
        not refused,
    )
    account.holds.append(hold)
    status, why = ("rejected", "insufficient_credits") if refused else ("held", None)
    return [hold_output(account, record["account_id"], hold, status, record["held_at"], None, why)]


def draw(hold: Hold, event: dict[str, Any], lines: list[dict[str, Any]]) -> str:
    """What an accepted event takes from its hold; the status that the hold then has."""
    for line in lines:
        credit_type, amount = line["credit_type"], line["credits"]
        if amount:
            hold.charged[credit_type] = hold.charged.get(credit_type, 0) + amount
            if credit_type in hold.left:
                hold.left[credit_type] = max(0, hold.left[credit_type] - amount)
    if event["keeps_hold"]:
        return "drawn"
    hold.is_open = False
    return "settled" if hold.charged else "released"


def hold_output(
    account: Account, account_id: str, hold: Hold, status: str, at: int, event_id: str | None, why: str | None = None
) -> Out:
    record = {
        "hold_id": hold.hold_id, "account_id": account_id, "status": status, "credits": dict(hold.asked),
        "charged": dict(hold.charged), "available_after": {name: account.available(name) for name in hold.asked},
        "event_id": event_id, "reject_reason": why, "expires_at": hold.expires_at, "at": at, "reason": hold.reason,
    }  # fmt: skip
    return ("hold", record)
