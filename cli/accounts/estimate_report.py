"""Shows an estimate as tables for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from application.wording import shown_time
from cli.terminal.output import print_line, print_status
from cli.terminal.tables import print_table

if TYPE_CHECKING:
    from application.accounts.estimate import ChargeTally, Estimate

_CHARGE_COLUMNS = (
    "charge", "credit type", "lines", "charged", "credits", "saved in the job", "saved by history", "other decisions",
)  # fmt: skip
_BALANCE_COLUMNS = (
    "credit type", "before", "held", "granted", "refunded", "charged", "expired", "after", "lowest", "refused",
    "suffices",
)  # fmt: skip
_COUNTED_APART = ("charged",)


def print_estimate(estimate: Estimate, place: str) -> None:
    """The same for people."""
    print_line(", ".join(f"{count:,} {name}" for name, count in sorted(estimate.commands.items())) or "no commands")
    if estimate.charges:
        rows = [
            (
                charge or "(none)", credit_type, f"{tally.lines:,}", f"{tally.decisions['charged']:,}",
                f"{tally.credits:,}", f"{tally.saved.in_job:,}", f"{tally.saved.in_history:,}", _others(tally),
            )
            for (charge, credit_type), tally in estimate.charges_in_order()
        ]  # fmt: skip
        print_table(_CHARGE_COLUMNS, rows, _CHARGE_COLUMNS[2:-1])
    if estimate.balances:
        lines = [
            (
                name, f"{balance.before:,}", f"{balance.held:,}", f"{balance.granted:,}", f"{balance.refunded:,}",
                f"{balance.charged:,}", f"{balance.expired:,}", f"{balance.after:,}",
                "" if balance.lowest is None else f"{balance.lowest:,}",
                f"{balance.refused:,}", "yes" if balance.suffices else "no",
            )
            for name, balance in sorted(estimate.balances.items())
        ]  # fmt: skip
        print_table(_BALANCE_COLUMNS, lines, _BALANCE_COLUMNS[1:-1])
    for sentence in _sentences(estimate):
        print_line(sentence)
    print_status(f"Nothing was sent. The account's state is that of {place}.")


def _others(tally: ChargeTally) -> str:
    return ", ".join(
        f"{count:,} {name}" for name, count in sorted(tally.decisions.items()) if name not in _COUNTED_APART
    )


def _sentences(estimate: Estimate) -> list[str]:
    sentences = []
    if estimate.repeats.in_job or estimate.repeats.in_history:
        sentences.append(
            f"Repeats, which cost nothing: {estimate.repeats.in_job:,} within the job, "
            f"{estimate.repeats.in_history:,} of what was sent before."
        )
    if estimate.without_id:
        sentences.append(f"{estimate.without_id:,} requests have no event_id: each is taken for a new event.")
    for reason, count in sorted(estimate.dead_letters.items()):
        sentences.append(f"{count:,} would be set aside: {reason}{_horizon(estimate) if reason == 'too_late' else ''}.")
    for letter in estimate.first_dead_letters:
        name = "" if letter["field"] is None else f", {letter['field']}"
        sentences.append(f"  line {letter['line_number']}: {letter['reason']}{name}")
    for reason, count in sorted(estimate.rejected_refunds.items()):
        sentences.append(f"{count:,} refunds would be rejected: {reason}.")
    if estimate.rejected_holds:
        sentences.append(f"{estimate.rejected_holds:,} holds would be rejected: less is available than they ask for.")
    sentences.append(_verdict(estimate))
    return sentences


def _horizon(estimate: Estimate) -> str:
    if estimate.horizon is None:
        return ""
    return f" (after the job, nothing before {shown_time(estimate.horizon)} is accepted)"


def _verdict(estimate: Estimate) -> str:
    if estimate.suffices:
        return "The balance suffices."
    if estimate.rejected_holds and all(balance.suffices for balance in estimate.balances.values()):
        return "The balance does not suffice for every hold."
    if estimate.refused_events:
        amounts = ", ".join(
            f"{balance.refused:,} {name}" for name, balance in sorted(estimate.balances.items()) if balance.refused
        )
        return f"The balance does not suffice: {estimate.refused_events:,} events would be refused ({amounts})."
    short = ", ".join(
        f"{-balance.lowest:,} {name}"
        for name, balance in sorted(estimate.balances.items())
        if balance.lowest is not None and balance.lowest < 0
    )
    return f"The balance does not suffice: the account would be short of {short}."
