"""How an estimate is shown: as tables for people, and as plain data for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from application.wording import shown_time
from cli.terminal.output import print_line, print_status
from cli.terminal.tables import print_table

if TYPE_CHECKING:
    from application.accounts.estimate import ChargeTally, Estimate, Split

_CHARGE_COLUMNS = (
    "charge", "credit type", "lines", "charged", "credits", "saved in the job", "saved by history", "other decisions",
)  # fmt: skip
_BALANCE_COLUMNS = (
    "credit type", "before", "granted", "refunded", "charged", "expired", "after", "lowest", "refused", "suffices",
)  # fmt: skip
_COUNTED_APART = ("charged",)


def as_plain(found: Estimate) -> dict[str, Any]:
    """Everything, for JSON. Amounts in credits, times in ms."""
    charges = [
        {
            "charge": charge,
            "credit_type": credit_type,
            "lines": tally.lines,
            "decisions": dict(sorted(tally.decisions.items())),
            "credits": tally.credits,
            "saved": _plain_split(tally.saved),
            "refused": tally.refused,
        }
        for (charge, credit_type), tally in _in_order(found)
    ]
    balances = {
        name: {
            "before": each.before,
            "granted": each.granted,
            "refunded": each.refunded,
            "charged": each.charged,
            "expired": each.expired,
            "after": each.after,
            "lowest": each.lowest,
            "refused": each.refused,
            "suffices": each.suffices,
        }
        for name, each in sorted(found.balances.items())
    }
    return {
        "on_empty": found.on_empty,
        "suffices": found.suffices,
        "commands": dict(sorted(found.commands.items())),
        "charges": charges,
        "balances": balances,
        "refused_events": found.refused_events,
        "repeats": _plain_split(found.repeats),
        "rejected_refunds": dict(sorted(found.rejected_refunds.items())),
        "dead_letters": dict(sorted(found.dead_letters.items())),
        "first_dead_letters": found.first_dead_letters,
        "without_event_id": found.without_id,
        "stream_time": found.stream_time,
        "horizon": found.horizon,
    }


def _plain_split(split: Split) -> dict[str, int]:
    return {"in_job": split.in_job, "in_history": split.in_history}


def _in_order(found: Estimate) -> list[tuple[tuple[str | None, str | None], ChargeTally]]:
    return sorted(found.charges.items(), key=lambda each: (each[0][0] is None, each[0][0] or "", each[0][1] or ""))


def print_estimate(found: Estimate, place: str) -> None:
    """The same for people."""
    print_line(", ".join(f"{count:,} {name}" for name, count in sorted(found.commands.items())) or "no commands")
    if found.charges:
        rows = [
            (
                charge or "(none)", credit_type, f"{tally.lines:,}", f"{tally.decisions['charged']:,}",
                f"{tally.credits:,}", f"{tally.saved.in_job:,}", f"{tally.saved.in_history:,}", _others(tally),
            )
            for (charge, credit_type), tally in _in_order(found)
        ]  # fmt: skip
        print_table(_CHARGE_COLUMNS, rows, _CHARGE_COLUMNS[2:-1])
    if found.balances:
        lines = [
            (
                name, f"{each.before:,}", f"{each.granted:,}", f"{each.refunded:,}", f"{each.charged:,}",
                f"{each.expired:,}", f"{each.after:,}", "" if each.lowest is None else f"{each.lowest:,}",
                f"{each.refused:,}", "yes" if each.suffices else "no",
            )
            for name, each in sorted(found.balances.items())
        ]  # fmt: skip
        print_table(_BALANCE_COLUMNS, lines, _BALANCE_COLUMNS[1:-1])
    for sentence in _sentences(found):
        print_line(sentence)
    print_status(f"Nothing was sent. The account's state is that of {place}.")


def _others(tally: ChargeTally) -> str:
    return ", ".join(
        f"{count:,} {name}" for name, count in sorted(tally.decisions.items()) if name not in _COUNTED_APART
    )


def _sentences(found: Estimate) -> list[str]:
    told = []
    if found.repeats.in_job or found.repeats.in_history:
        told.append(
            f"Repeats, which cost nothing: {found.repeats.in_job:,} within the job, "
            f"{found.repeats.in_history:,} of what was sent before."
        )
    if found.without_id:
        told.append(f"{found.without_id:,} requests have no event_id: each is taken for a new event.")
    for reason, count in sorted(found.dead_letters.items()):
        told.append(f"{count:,} would be set aside: {reason}{_horizon(found) if reason == 'too_late' else ''}.")
    for letter in found.first_dead_letters:
        name = "" if letter["field"] is None else f", {letter['field']}"
        told.append(f"  line {letter['line_number']}: {letter['reason']}{name}")
    for reason, count in sorted(found.rejected_refunds.items()):
        told.append(f"{count:,} refunds would be rejected: {reason}.")
    told.append(_verdict(found))
    return told


def _horizon(found: Estimate) -> str:
    if found.horizon is None:
        return ""
    return f" (after the job, nothing before {shown_time(found.horizon)} is accepted)"


def _verdict(found: Estimate) -> str:
    if found.suffices:
        return "The balance suffices."
    if found.refused_events:
        amounts = ", ".join(f"{each.refused:,} {name}" for name, each in sorted(found.balances.items()) if each.refused)
        return f"The balance does not suffice: {found.refused_events:,} events would be refused ({amounts})."
    short = ", ".join(
        f"{-each.lowest:,} {name}"
        for name, each in sorted(found.balances.items())
        if each.lowest is not None and each.lowest < 0
    )
    return f"The balance does not suffice: the account would be short of {short}."
