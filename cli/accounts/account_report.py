"""Shows an account: as text for people, and as plain data for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from application.wording import shown_time
from cli.terminal.output import print_line, print_status
from cli.terminal.tables import print_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from application.accounts.overview import AccountOverview
    from metering.balances import OpenGrant
    from metering.holds import Hold
    from metering.overview import BalanceView

_LINE_COLUMNS = ("occurred_at", "event_id", "endpoint", "charge", "decision", "credits", "credit_type", "balance_after")


def as_plain(overview: AccountOverview) -> dict[str, Any]:
    """The account as plain data, for JSON. Times in ms, amounts in credits."""
    account = overview.account
    return {
        "account_id": account.account_id,
        "place": overview.place,
        "offset": overview.offset,
        "base": overview.base,
        "shown_at": overview.at,
        "stream_time": account.stream_time,
        "balances": {name: _plain_balance(view) for name, view in overview.balances.items()},
        "holds": [_plain_hold(hold) for hold in overview.holds],
        "plan": overview.plan,
        "on_empty": account.on_empty,
        "alert_below": account.alert_below,
        "claims": {
            "kept": overview.claims.by_charge.total(),
            "by_charge": dict(sorted(overview.claims.by_charge.items())),
            "newest": [claim._asdict() for claim in overview.claims.newest],
        },
        "ids_remembered": overview.ids,
        "lines": overview.tail.lines,
    }


def _plain_balance(view: BalanceView) -> dict[str, Any]:
    grants = [
        {"grant_id": grant.grant_id, "left": grant.left, "expires_at": grant.expires_at, "reason": grant.reason}
        for grant in view.grants
    ]
    return {
        "balance": view.balance, "held": view.held, "available": view.available, "debt": view.debt, "over": view.over,
        "grants": grants,
    }  # fmt: skip


def _plain_hold(hold: Hold) -> dict[str, Any]:
    return {
        "hold_id": hold.hold_id, "credits": dict(hold.credits), "held": dict(hold.remaining),
        "charged": dict(hold.charged), "expires_at": hold.expires_at, "reason": hold.reason,
    }  # fmt: skip


def print_account(overview: AccountOverview) -> None:
    """Prints the account for people."""
    account = overview.account
    print_line(f"account      {account.account_id}")
    print_line(f"plan         {_plan(overview)}")
    print_line(f"on empty     {account.on_empty}")
    marks = ", ".join(f"{name} {mark:,}" for name, mark in sorted(account.alert_below.items()))
    print_line(f"alert below  {marks or 'no marks'}")
    print_line(f"stream time  {shown_time(account.stream_time)}")
    print_line(f"remembered   {', '.join(f'{count:,} {name}' for name, count in overview.ids.items())}")
    print_line()
    _print_balances(overview)
    _print_claims(overview)
    _print_lines(overview)
    print_status(f"True up to {overview.place}@{overview.offset}, replayed from {overview.base}.")


def _plan(overview: AccountOverview) -> str:
    plan = overview.plan
    if plan is None:
        return "none"
    until = "" if plan["ends_at"] is None else f" until {shown_time(plan['ends_at'])}"
    return f"{plan['name']} from {shown_time(plan['started_at'])}{until}{'' if plan['counts'] else ' (not now)'}"


def _print_balances(overview: AccountOverview) -> None:
    if not overview.balances:
        print_line("No credits have moved yet.")
        return
    rows = [
        (
            name, f"{view.balance:,}", f"{view.held:,}", f"{view.available:,}",
            f"{sum(grant.left for grant in view.grants):,}", f"{view.debt:,}",
        )
        for name, view in overview.balances.items()
    ]  # fmt: skip
    numbers = ("balance", "held", "available", "left of grants", "debt")
    print_table(("credit type", *numbers), rows, numbers)
    grants = [
        (name, *_grant(grant)) for name, view in overview.balances.items() for grant in view.grants
    ]  # in order of use
    if grants:
        print_table(("credit type", "open grant", "left", "expires", "reason"), grants, ("left",))
    holds = [
        (hold.hold_id, _amounts(hold.remaining), _amounts(hold.charged), shown_time(hold.expires_at), hold.reason)
        for hold in overview.holds
    ]
    if holds:
        print_table(("open hold", "held", "charged so far", "expires", "reason"), holds)
    over = {name: view.over for name, view in overview.balances.items() if view.over}
    for name, credits_ in over.items():
        print_line(f"{credits_:,} {name} are over by their time; the account's next command forfeits them.")
        print_line()


def _amounts(by_type: Mapping[str, int]) -> str:
    return ", ".join(f"{credits_:,} {name}" for name, credits_ in by_type.items())


def _grant(grant: OpenGrant) -> tuple[str, str, str, str]:
    expires = "never" if grant.expires_at is None else shown_time(grant.expires_at)
    return grant.grant_id, f"{grant.left:,}", expires, grant.reason


def _print_claims(overview: AccountOverview) -> None:
    claims = overview.claims
    if not claims.by_charge:
        print_line("No claims are kept.")
        print_line()
        return
    kept = [(charge, f"{count:,}") for charge, count in sorted(claims.by_charge.items())]
    print_table(("charge", "claims kept"), kept, ("claims kept",))
    rows = [
        (
            claim.charge,
            ", ".join(f"{name} {value}" for name, value in claim.subject.items()),
            claim.owner_event_id,
            shown_time(claim.owner_at),
            "ever" if claim.window_ends_at is None else shown_time(claim.window_ends_at),
        )
        for claim in claims.newest
    ]
    if rows:
        print_table(("newest claims", "subject", "paid by event", "at", "free until"), rows)


def _print_lines(overview: AccountOverview) -> None:
    rows = [
        [shown_time(line["occurred_at"]), *(line[name] for name in _LINE_COLUMNS[1:])] for line in overview.tail.lines
    ]
    if rows:
        print_table(("last lines, at", *_LINE_COLUMNS[1:]), rows, ("credits", "balance_after"))
    if not overview.tail.is_whole:
        print_status("Older lines are far back in the log: ask ClickHouse, `creditmeter query`.")
