"""Refuses a book that would change prices in force, unless a re-rating has looked at everything that it changes.

Customers know prices in force and were charged by them. A book that changes them is refused, unless the plan of a
re-rating shows what it costs: for this very book, over the book in force, in this log, for all accounts, and for every
instant for which prices would change.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from application.errors import ErrorCode, Failed
from application.prices.files import charge_facts
from application.rerating.plan import RerateScope
from application.wording import shown_time
from metering.prices import Book, Mistake, changed_spans, changes_in_force
from schemas.price_book import book_id, read_book, with_lines


def check_past(
    others: Sequence[Book],
    text: str,
    published_at: int,
    log_id: str | None,
    plan: RerateScope | None,
    *,
    is_stale: bool,
) -> None:
    """Raises Failed where publishing `text` over one of `others` at `published_at` (ms) may not be.

    `is_stale`: one of them was published after the plan was made, which has compared with another.
    """
    new = read_book(text)
    refused = {
        line: None for old in others for line in _refusals(text, old, new, changes_in_force(old, new, published_at))
    }
    if not refused:
        return
    if plan is None:
        advice = (
            "To change the past nevertheless, see what it costs with `creditmeter rerate --plan FILE`, then publish "
            "with --rerated FILE."
        )
        raise Failed(
            "\n  ".join(["Refused: the book would change prices in force.", *refused]) + f"\n{advice}",
            ErrorCode.CONFLICT,
        )
    reasons = list(_not_covered(plan, others, text, published_at, log_id))
    if is_stale:
        reasons.append("a book was published since it was made: make it again")
    if reasons:
        raise Failed(
            "\n  ".join(["Refused: the re-rating does not cover what the book would change.", *reasons]),
            ErrorCode.CONFLICT,
        )


def _not_covered(
    plan: RerateScope, others: Sequence[Book], text: str, published_at: int, log_id: str | None
) -> Iterator[str]:
    """Each reason why a plan does not stand for this publication."""
    new = read_book(text)
    if plan.book_id != book_id(text):
        yield f"it is of another book: {plan.book_id}"
    if plan.log_id != log_id:
        yield "it is of another log"
    if plan.accounts is not None:
        yield f"it looked at {len(plan.accounts):,} accounts only: leave out --account"
    for start, end in dict.fromkeys(span for old in others for span in changed_spans(old, new, published_at)):
        if not plan.covers([(start, end)]):
            until = "now" if end == published_at else shown_time(end)
            yield (
                f"prices would change from {shown_time(start)} to {until}; it is about {shown_time(plan.start)} to "
                f"{shown_time(plan.end)}"
                + (": give a --to that is later than the publication" if plan.end < published_at == end else "")
            )


def _refusals(text: str, old: Book, new: Book, mistakes: Sequence[Mistake]) -> Iterator[str]:
    lines = with_lines(text, mistakes)
    values = {mistake.where: _values(old, new, mistake) for mistake in mistakes}
    for line, where, message in lines:
        shown = values.get(where)
        yield f"line {line}: {where}: " + (f"{shown[0]} -> {shown[1]}: " if shown else "") + message


def _values(old: Book, new: Book, mistake: Mistake) -> tuple[str, str] | None:
    """A charge's field as it is in force and as it would be; None for anything else."""
    if len(mistake.path) != 5:
        return None
    _, place, _, index, field = mistake.path
    version = next(known for at, known in zip(new.positions, new.versions, strict=True) if at == place)
    charge = version.charges[int(index)]
    was = next(
        candidate
        for before in old.versions
        if before.version == version.version
        for candidate in before.charges
        if candidate.charge == charge.charge
    )
    before, after = charge_facts(was), charge_facts(charge)
    return before.get(str(field)) or "(none)", after.get(str(field)) or "(none)"
