"""Price books as people see them: reading the file, and putting its prices into words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from application.errors import Misconfigured
from application.wording import shown_duration
from metering.prices import Book, Charge, RateLimit
from schemas.price_book import BookFileError, LineMistake, read_book


def read_book_file(path: str) -> tuple[str, Book]:
    """The text, byte for byte, and the book. Raises Misconfigured with every mistake and its line."""
    text, book, mistakes = try_book_file(path)
    if book is None:
        count = "a mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        raise Misconfigured(f"The price book has {count}:", [shown_mistake(path, mistake) for mistake in mistakes])
    return text, book


def try_book_file(path: str) -> tuple[str, Book | None, list[LineMistake]]:
    """The text, and either the book or its mistakes. Raises Misconfigured when there is no text."""
    try:
        text = Path(path).read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{path}: cannot be read as text: {error}") from error
    try:
        return text, read_book(text, path), []
    except BookFileError as error:
        return text, None, error.mistakes


def shown_mistake(path: str, mistake: LineMistake) -> str:
    """`book.yaml:12: versions[0].charges[1].credits: must be …`."""
    where = f"{mistake.path_text}: " if mistake.path_text else ""
    return f"{path}:{mistake.line}: {where}{mistake.message}"


def shown_rate_limit(limit: RateLimit) -> str:
    """`60 in 1m; pro 600; when endpoint /v1/search*`: equal texts where the meaning is equal."""
    plans = "".join(f"; {plan} {number}" for plan, number in sorted(limit.plans.items()))
    when = shown_conditions(limit.when)
    return f"{limit.requests} in {shown_duration(limit.per)}{plans}{f'; when {when}' if when else ''}"


def shown_conditions(when: Mapping[str, tuple[str, ...]]) -> str:
    """The conditions of a `when`, in order of name; empty for none."""
    return "; ".join(f"{name} {' | '.join(sorted(wanted))}" for name, wanted in sorted(when.items()))


def charge_facts(charge: Charge) -> dict[str, str | None]:
    """What a charge says, field by field: texts that are equal where the meaning is; None where it is silent."""
    unique = charge.unique
    if unique is None:
        within = None
    else:
        length = shown_duration(unique.window.ms) if unique.window.kind == "rolling" else unique.window.kind
        within = f"{', '.join(unique.by)} within {length}"
    plans = ", ".join(f"{plan} {amount}" for plan, amount in sorted(charge.plans.items()))
    when = shown_conditions(charge.when)
    return {
        "credits": str(charge.credits),
        "per": charge.per or "request",
        "credit_type": charge.credit_type,
        "plans": plans or None,
        "unique": within,
        "when": when or None,
        "feature": charge.feature,
        "action": charge.action,
    }
