"""The oracle's account: whole lists of events, claims and grants, and what moves its balances besides a charge."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.metering import oracle_prices as prices
    from tests.metering.oracle_holds import Hold

Out = tuple[str, dict[str, Any]]


@dataclass
class Grant:
    grant_id: str
    account_id: str
    credit_type: str
    expires_at: int | None
    reason: str
    left: int = 0
    is_open: bool = True


@dataclass
class Use:
    """What a line drew from a grant, and what refunds have given back to that grant (or forfeited for it)."""

    grant: Grant
    drawn: int
    returned: int = 0


@dataclass
class Claim:
    charge: str
    by: list[str]
    values: list[str]
    owner_event_id: str
    owner_at: int
    within: prices.Within
    released: bool = False


@dataclass
class Line:
    record: dict[str, Any]
    uses: list[Use] = field(default_factory=list)
    claim: Claim | None = None
    refunded: int = 0

    @property
    def left(self) -> int:
        return self.record["credits"] - self.refunded


@dataclass
class Accepted:
    """A command that was accepted: where it stood, and what it said."""

    command: str
    own_id: str
    offset: int | None
    index: int | None
    as_it_came: dict[str, Any]


@dataclass
class Account:
    stream_time: int | None = None
    horizon: int | None = None  # nothing before it can be accepted: the greatest (stream_time - accept_window) so far
    settings: dict[str, Any] = field(default_factory=lambda: {"plan": None, "on_empty": "allow", "alert_below": {}})
    events: list[tuple[dict[str, Any], list[Line]]] = field(default_factory=list)
    accepted: list[Accepted] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)  # in order of arrival
    claims: list[Claim] = field(default_factory=list)
    grants: list[Grant] = field(default_factory=list)  # in order of arrival
    debts: dict[str, int] = field(default_factory=dict)

    def balance(self, credit_type: str) -> int:
        open_grants = sum(g.left for g in self.grants if g.credit_type == credit_type and g.is_open)
        return open_grants - self.debts.get(credit_type, 0)

    def available(self, credit_type: str) -> int:
        """The balance less what open holds still set aside."""
        return self.balance(credit_type) - sum(hold.left.get(credit_type, 0) for hold in self.holds if hold.is_open)

    def balances(self) -> dict[str, int]:
        types = {grant.credit_type for grant in self.grants} | set(self.debts)
        return {credit_type: self.balance(credit_type) for credit_type in types}


# -- grants -----------------------------------------------------------------------------------------------------------


def grant_output(account: Account, status: str, given: Grant, credits_: int, at: int) -> Out:
    record = {
        "grant_id": given.grant_id, "account_id": given.account_id, "credit_type": given.credit_type, "status": status,
        "credits": credits_, "expires_at": given.expires_at, "balance_after": account.balance(given.credit_type),
        "reason": given.reason, "changed_at": at,
    }  # fmt: skip
    return ("grant", record)


def forfeit_what_is_over(account: Account) -> list[Out]:
    outputs = []
    over = [g for g in account.grants if g.is_open and g.expires_at is not None and g.expires_at <= account.stream_time]
    for given in sorted(over, key=lambda g: g.expires_at):  # then by arrival
        given.is_open = False
        if given.left:
            lost = given.left
            given.left = 0
            outputs.append(grant_output(account, "expired", given, lost, account.stream_time))
    return outputs


def fill_debt(account: Account, credit_type: str, amount: int) -> int:
    """Pays debt from `amount`, and returns what then remains of it."""
    filled = min(amount, account.debts.get(credit_type, 0))
    account.debts[credit_type] = account.debts.get(credit_type, 0) - filled
    return amount - filled


def grant(account: Account, record: dict[str, Any]) -> list[Out]:
    credit_type = record["credit_type"]
    given = Grant(record["grant_id"], record["account_id"], credit_type, record["expires_at"], record["reason"])
    # reading: a grant that is over on arrival still fills debt; only what debt leaves of it is forfeited.
    given.left = fill_debt(account, credit_type, record["credits"])
    account.grants.append(given)
    return [grant_output(account, "applied", given, record["credits"], record["granted_at"])]


def settings_output(update: dict[str, Any]) -> Out:
    plan = update["plan"]
    return ("account", update | {"plan": plan and {"ends_at": None, **plan}})


# -- refunds ----------------------------------------------------------------------------------------------------------


def refund(account: Account, asked: dict[str, Any]) -> list[Out]:
    # reading: stream_time has been moved by the refund's own requested_at; the accept_window is the one in force now.
    charges = [
        lines
        for event, lines in account.events
        if event["event_id"] == asked["event_id"] and event["occurred_at"] >= account.horizon
    ]
    if not charges:
        return [rejected(asked, "unknown_charge")]
    charged = [
        line
        for line in charges[-1]
        if line.record["decision"] == "charged" and asked["charge"] in (None, line.record["charge"])
    ]
    if not charged:
        return [rejected(asked, "nothing_charged")]
    if asked["credits"] is not None and asked["charge"] is None and len(charged) > 1:
        # reading: a line that was charged and since refunded in full is still a charged line.
        return [rejected(asked, "charge_required")]
    open_lines = [line for line in charged if line.left]
    if not open_lines or (asked["credits"] is not None and asked["credits"] > open_lines[0].left):
        return [rejected(asked, "exceeds_charge")]
    # reading: a line with nothing left gives no output where another line of the event has something left.
    return [refund_line(account, asked, line, asked["credits"] or line.left) for line in open_lines]


def refund_line(account: Account, asked: dict[str, Any], line: Line, amount: int) -> Out:
    credit_type, forfeited = line.record["credit_type"], 0
    rest = fill_debt(account, credit_type, amount)
    for use in reversed(line.uses):
        back = min(rest, use.drawn - use.returned)
        rest -= back
        use.returned += back
        if use.grant.is_open:
            use.grant.left += back
        else:
            forfeited += back
    if rest:
        refund_grant(account, asked, credit_type).left += rest
    line.refunded += amount
    if line.left == 0 and line.claim is not None:
        line.claim.released = True
    outcome = {
        "line": line.record["line"], "charge": line.record["charge"], "status": "refunded", "reject_reason": None,
        "credits": amount, "forfeited": forfeited, "credit_type": credit_type, "remaining_charge": line.left,
        "balance_after": account.balance(credit_type), "occurred_at": line.record["occurred_at"],
    }  # fmt: skip
    return ("refund", {name: asked[name] for name in KEPT_OF_A_REFUND} | outcome)


def refund_grant(account: Account, asked: dict[str, Any], credit_type: str) -> Grant:
    """The grant without expiry that this refund makes for this credit type: one, whatever the number of lines."""
    grant_id = f"refund:{asked['refund_id']}"
    for given in account.grants:
        if (given.grant_id, given.credit_type) == (grant_id, credit_type):
            return given
    given = Grant(grant_id, asked["account_id"], credit_type, None, asked["reason"])
    account.grants.append(given)
    return given


KEPT_OF_A_REFUND = ("refund_id", "account_id", "event_id", "reason", "requested_at")


def rejected(asked: dict[str, Any], why: str) -> Out:
    outcome = {
        "line": None, "charge": asked["charge"], "status": "rejected", "reject_reason": why, "credits": 0,
        "forfeited": 0, "credit_type": None, "remaining_charge": None, "balance_after": None,
        "occurred_at": None,
    }  # fmt: skip
    return ("refund", {name: asked[name] for name in KEPT_OF_A_REFUND} | outcome)


# -- alerts ------------------------------------------------------------------------------------------------------------


def alerts(account: Account, account_id: str, before: dict[str, int], at: int) -> list[Out]:
    outputs = []
    for credit_type, now in sorted(account.balances().items()):
        then, mark = before.get(credit_type, 0), account.settings["alert_below"].get(credit_type)
        same = {"account_id": account_id, "credit_type": credit_type, "balance": now, "at": at}
        if mark is not None and then >= mark > now:
            outputs.append(("alert", same | {"kind": "below", "mark": mark}))
        if then > 0 >= now:
            outputs.append(("alert", same | {"kind": "empty", "mark": None}))
    return outputs
