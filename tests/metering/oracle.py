"""A naive model of how commands are decided: whole histories in plain lists, each question answered by looking through.

It shares no code and no idea with the package under test: no clean-up, no indexes, no encoding. What is *forgotten* is
still in its lists, and a predicate says that it no longer counts. `# reading:` marks a choice that the rules leave.
"""

from __future__ import annotations

import copy
from typing import Any

from tests.metering import oracle_prices as prices
from tests.metering.oracle_account import (
    Accepted,
    Account,
    Claim,
    Line,
    Out,
    Use,
    alerts,
    forfeit_what_is_over,
    grant,
    refund,
    settings_output,
)
from tests.metering.oracle_fields import LONG_MAX, LONG_MIN, first_wrong_field, in_full
from tests.metering.oracle_holds import Hold, draw, end_holds_that_are_over, hold_output, open_hold, reserve

ID_OF = {"request": "event_id", "hold": "hold_id", "refund": "refund_id", "grant": "grant_id", "account": "update_id"}
TIME_OF = {
    "request": "occurred_at",
    "hold": "held_at",
    "refund": "requested_at",
    "grant": "granted_at",
    "account": "at",
}
NOTHING_PRICED = {
    "charge": None, "feature": None, "action": None, "credit_type": None, "price_version": None,
    "units": 0, "unit_credits": 0, "credits": 0, "owner_event_id": None, "window_ends_at": None,
    "balance_after": None, "grants_used": [], "hold_id": None,
}  # fmt: skip


class BeyondALongError(Exception):
    """A balance would leave the range of a long."""


class Oracle:
    """`apply` takes the commands of one partition in their order; `set_book` puts a book's plain mapping in force."""

    def __init__(self, book: dict[str, Any] | None = None) -> None:
        self.book = book
        self.accounts: dict[str, Account] = {}

    def set_book(self, book: dict[str, Any]) -> None:
        self.book = book

    def apply(
        self,
        command: str,
        record: dict[str, Any],
        recorded_at: int,
        offset: int | None = None,
        index: int | None = None,
    ) -> list[Out]:
        """`offset` and `index`: where the command stands in the log."""
        wrong = first_wrong_field(command, record)
        if wrong is not None:
            return [dead_letter("invalid_event", wrong)]
        as_it_came, record = copy.deepcopy(record), in_full(command, record)
        # Tried on a copy: what is refused changes no state.
        account = copy.deepcopy(self.accounts.get(record["account_id"], Account()))
        refusal = self.refusal(account, command, record, recorded_at)
        if refusal == "repeated":
            return [self.repeat(account, command, record, as_it_came, index)]
        if refusal is not None:
            return [refusal]
        account.accepted.append(Accepted(command, record[ID_OF[command]], offset, index, as_it_came))
        try:
            outputs = self.accept(account, command, record, recorded_at)
        except BeyondALongError:
            # reading: the amount is in `quantities` for a request, in `credits` for a grant or a hold.
            return [dead_letter("invalid_event", "quantities" if command == "request" else "credits")]
        self.accounts[record["account_id"]] = account
        return outputs

    # -- may it be accepted? ------------------------------------------------------------------------------------------

    def refusal(self, account: Account, command: str, record: dict[str, Any], recorded_at: int) -> Out | str | None:
        """A dead letter, or `repeated`, or None."""
        at = record[TIME_OF[command]]
        if at > recorded_at + prices.future_skew(self.book):
            return dead_letter("in_future", None)
        own_id, oldest = record[ID_OF[command]], self.oldest(account)
        # reading: stream_time, for "too late" and for ids, is the one before this event.
        # reading: where accept_window has widened, what was too old at an accepted command stays too old.
        if command in ("request", "hold") and oldest is not None and at < oldest:
            return dead_letter("too_late", None)
        if command == "request":
            seen = any(
                event["event_id"] == own_id and (oldest is None or event["occurred_at"] >= oldest)
                for event, _ in account.events
            )
        elif command == "hold":
            seen = any(
                hold.hold_id == own_id and (hold.is_open or oldest is None or hold.held_at >= oldest)
                for hold in account.holds
            )
        else:
            seen = any((accepted.command, accepted.own_id) == (command, own_id) for accepted in account.accepted)
        if seen:
            return "repeated"
        # reading: holds that are over by the log's clock are open no more, as accepting the command would end them.
        if command == "hold" and sum(h.is_open and h.expires_at > recorded_at for h in account.holds) >= 10_000:
            return dead_letter("invalid_event", "hold_id")
        return None

    def repeat(
        self, account: Account, command: str, record: dict[str, Any], as_it_came: dict[str, Any], index: int | None
    ) -> Out:
        # An id that was forgotten and used again is that of its last use.
        first = [
            accepted
            for accepted in account.accepted
            if (accepted.command, accepted.own_id) == (command, record[ID_OF[command]])
        ]
        identity = {"command": command, "account_id": record["account_id"], "id": record[ID_OF[command]]}
        where = {"index": index, "first_offset": first[-1].offset, "first_index": first[-1].index}
        return ("repeated", identity | where | {"same_content": first[-1].as_it_came == as_it_came})

    def oldest(self, account: Account) -> int | None:
        if account.stream_time is None:
            return None
        return max(account.horizon, account.stream_time - prices.accept_window(self.book))

    # -- accepting ----------------------------------------------------------------------------------------------------

    def accept(self, account: Account, command: str, record: dict[str, Any], recorded_at: int) -> list[Out]:
        before = account.balances()
        at = record[TIME_OF[command]]
        account.stream_time = at if account.stream_time is None else max(account.stream_time, at)
        horizon = account.stream_time - prices.accept_window(self.book)
        account.horizon = horizon if account.horizon is None else max(account.horizon, horizon)

        outputs = forfeit_what_is_over(account)
        outputs += end_holds_that_are_over(account, record["account_id"], recorded_at, at)
        if command == "request":
            outputs += self.decide(account, record)
        elif command == "hold":
            outputs += reserve(account, record)
        elif command == "refund":
            outputs += refund(account, record)
        elif command == "grant":
            outputs += grant(account, record)
        else:
            account.settings = record
            outputs += [settings_output(record)]
        outputs += forfeit_what_is_over(account)
        outputs += end_holds_that_are_over(account, record["account_id"], recorded_at, at)
        outputs += alerts(account, record["account_id"], before, at)
        amounts = [*account.balances().values()]
        amounts += [account.available(name) for hold in account.holds if hold.is_open for name in hold.asked]
        amounts += [amount for hold in account.holds for amount in hold.charged.values()]
        if not all(LONG_MIN <= amount <= LONG_MAX for amount in amounts):
            raise BeyondALongError
        return outputs

    # -- deciding an event --------------------------------------------------------------------------------------------

    def decide(self, account: Account, event: dict[str, Any]) -> list[Out]:
        plan = prices.plan_name(account.settings, event)
        version = prices.version_that_applies(self.book, account.settings, event)
        matching = [c for c in version["charges"] if prices.matches(c, event, plan)] if version else []
        whole = {name: value for name, value in event.items() if name != "keeps_hold"} | {"plan": plan} | NOTHING_PRICED
        hold = open_hold(account, event["hold_id"])
        if hold is not None:
            whole["hold_id"] = hold.hold_id
        if event["outcome"] != "processed":
            lines = [Line(whole | {"line": 0, "decision": "not_billable"})]
        elif not matching:
            lines = [Line(whole | {"line": 0, "decision": "unpriced"})]
        else:
            lines = [
                self.consider(account, event, charge, whole | {"line": number, "price_version": version["version"]})
                for number, charge in enumerate(matching)
            ]
            settle(account, lines, hold)
        account.events.append((event, lines))
        outputs = [("billed", line.record) for line in lines]
        if hold is not None:
            status = draw(hold, event, [line.record for line in lines])
            outputs.append(
                hold_output(account, event["account_id"], hold, status, event["occurred_at"], event["event_id"])
            )
        return outputs

    def consider(self, account: Account, event: dict[str, Any], charge: dict[str, Any], record: dict[str, Any]) -> Line:
        """Steps a to d: what this charge would cost, before the balance is asked; `costing`: not decided yet."""
        units = 1 if charge["per"] == "request" else event["quantities"].get(charge["per"], 0)
        price = prices.unit_credits(charge, record["plan"])
        record |= {"charge": charge["charge"], "credit_type": charge["credit_type"]}
        record |= {"feature": charge.get("feature"), "action": charge.get("action")}
        record |= {"units": units, "unit_credits": price}
        if units == 0:
            return Line(record | {"decision": "nothing_found"})
        if price == 0:
            return Line(record | {"decision": "free"})
        claim = None
        if charge.get("unique"):
            by, within = list(charge["unique"]["by"]), prices.Within(charge["unique"]["within"])
            values = prices.subject(by, event)
            if values is None:
                return Line(record | {"decision": "missing_subject"})
            claim = Claim(charge["charge"], by, values, event["event_id"], event["occurred_at"], within)
            owner = owner_of(account, claim)
            if owner is not None:
                # reading: the window compared, and the one that sets window_ends_at, is that of the charge as it is
                # priced for this event; the window that the claim was made with only says when it is forgotten.
                ends_at = within.ends_at(owner.owner_at)
                ownership = {"owner_event_id": owner.owner_event_id, "window_ends_at": ends_at}
                return Line(record | {"decision": "duplicate"} | ownership)
        return Line(record | {"decision": "costing", "credits": units * price}, claim=claim)


def owner_of(account: Account, wanted: Claim) -> Claim | None:
    """The latest owner not after the event, else the earliest after it, of the claims that still count."""
    at = wanted.owner_at
    owners = [
        claim
        for claim in account.claims
        if (claim.charge, claim.by, claim.values) == (wanted.charge, wanted.by, wanted.values)
        and not claim.released
        # reading: stream_time, for claims, has been moved by this event already (accepting comes before applying).
        and claim.within.outlives(claim.owner_at, account.horizon)
        and wanted.within.holds(claim.owner_at, at)
    ]
    not_after = [claim for claim in owners if claim.owner_at <= at]
    if not_after:
        return max(not_after, key=lambda claim: claim.owner_at)
    return min(owners, key=lambda claim: claim.owner_at, default=None)


def settle(account: Account, lines: list[Line], hold: Hold | None) -> None:
    """Steps 7 and 8: all the costing lines of an event are charged, or none; then every line says its balance_after."""
    costs: dict[str, int] = {}
    for line in lines:
        if line.record["decision"] == "costing":
            costs[line.record["credit_type"]] = costs.get(line.record["credit_type"], 0) + line.record["credits"]
    too_dear = False
    for credit_type, cost in costs.items():
        more = cost - (hold.left.get(credit_type, 0) if hold is not None else 0)
        if more > 0 and more > account.available(credit_type):
            too_dear = True
    rejected = account.settings["on_empty"] == "reject" and too_dear
    for line in lines:
        if line.record["decision"] == "costing" and rejected:
            line.record |= {"decision": "insufficient_credits", "credits": 0}
        elif line.record["decision"] == "costing":
            charge_for(account, line)
        line.record["balance_after"] = account.balance(line.record["credit_type"])


def charge_for(account: Account, line: Line) -> None:
    credit_type, missing = line.record["credit_type"], line.record["credits"]
    usable = [given for given in account.grants if given.credit_type == credit_type and given.is_open and given.left]
    # Soonest to expire first, never-expiring last; `sorted` keeps the order of arrival among equals.
    for given in sorted(usable, key=lambda g: (g.expires_at is None, g.expires_at or 0)):
        drawn = min(missing, given.left)
        if drawn:
            given.left -= drawn
            missing -= drawn
            line.uses.append(Use(given, drawn))
    account.debts[credit_type] = account.debts.get(credit_type, 0) + missing
    used = [{"grant_id": use.grant.grant_id, "credits": use.drawn} for use in line.uses]
    line.record |= {"decision": "charged", "grants_used": used}
    if line.claim is not None:
        account.claims.append(line.claim)
        line.record["window_ends_at"] = line.claim.within.ends_at(line.claim.owner_at)


def dead_letter(reason: str, wrong_field: str | None) -> Out:
    return ("dead_letter", {"reason": reason, "field": wrong_field})
