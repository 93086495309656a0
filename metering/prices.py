"""Price books: reading one from its data, and what publishing a new one would change.

Other packages import price books from here: types are defined in `metering.book`, reading in `metering.book_parser`.
"""

import dataclasses

from metering.book import DEFAULT_LIMITS, Book, Charge, Limits, RateLimit, Unique, Version
from metering.book_fields import Mistake, PriceBookError, UnusableBook
from metering.book_parser import parse_book

__all__ = [
    "DEFAULT_LIMITS",
    "Book",
    "Charge",
    "Limits",
    "Mistake",
    "PriceBookError",
    "RateLimit",
    "Unique",
    "UnusableBook",
    "Version",
    "changed_spans",
    "changes_in_force",
    "parse_book",
]


def changes_in_force(old: Book, new: Book, at: int) -> list[Mistake]:
    """What publishing `new` at `at` (ms) over `old` would change in prices already in force; empty where nothing.

    Versions of `old` in force at `at` must be in `new` as they are, any other version may start at `at` at the
    earliest, and `price_lock` stays. Limits and rate limits may change. Paths are those of the new book.
    """
    mistakes: list[Mistake] = []
    if old.price_lock != new.price_lock:
        message = f"is {old.price_lock} in the book in force: another one would change prices of events already priced"
        mistakes.append(Mistake(("price_lock",), message))
    paths = dict(zip((version.version for version in new.versions), _paths(new), strict=True))
    new_by_name = {version.version: version for version in new.versions}
    held: set[str] = set()  # names of versions in force, whose differences are reported here
    for before in old.versions:
        if before.effective_from > at:
            break
        held.add(before.version)
        after = new_by_name.get(before.version)
        if after is None:
            message = f"version {before.version!r} is in force and is missing here: put it back as it was"
            mistakes.append(Mistake(("versions",), message))
        else:
            mistakes += _differences(before, after, paths[before.version])
    kept = {version.version: version for version in old.versions}
    for version in new.versions:
        if version.version in held or version.effective_from >= at:
            continue
        before_or_none = kept.get(version.version)
        if before_or_none is None or _differences(before_or_none, version, ()):
            message = "would begin in the past: a new version begins when it is published, or later"
            mistakes.append(Mistake((*paths[version.version], "effective_from"), message))
    return mistakes


def changed_spans(old: Book, new: Book, until: int) -> list[tuple[int, int]]:
    """The stretches of time before `until` whose events the two books may price differently: [start, end) in ms.

    Where a plan keeps the prices of its beginning (`price_lock`), a changed version reaches as far as plans last.
    """
    edges = sorted({version.effective_from for book in (old, new) for version in book.versions})
    edges = [edge for edge in edges if edge < until]
    spans: list[tuple[int, int]] = []
    for start, end in zip(edges, [*edges[1:], until], strict=True):
        before, after = old.version_at(start), new.version_at(start)
        if old.price_lock == new.price_lock and _is_same(before, after):
            continue
        if spans and spans[-1][1] == start:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    if spans and "plan_period" in (old.price_lock, new.price_lock):
        return [(spans[0][0], until)]
    return spans


_CHARGE_FIELDS = [field.name for field in dataclasses.fields(Charge)]


def _is_same(before: Version | None, after: Version | None) -> bool:
    if before is None or after is None:
        return before is after
    return (
        before.version == after.version
        and before.overrides_lock == after.overrides_lock
        and [charge.charge for charge in before.charges] == [charge.charge for charge in after.charges]
        and all(
            _meaning(was, name) == _meaning(now, name)
            for was, now in zip(before.charges, after.charges, strict=True)
            for name in _CHARGE_FIELDS
        )
    )


def _paths(book: Book) -> list[tuple[str | int, ...]]:
    return [("versions", place) for place in book.positions or range(len(book.versions))]


def _differences(before: Version, after: Version, path: tuple[str | int, ...]) -> list[Mistake]:
    """Where a version differs in meaning from the one in force; the order of alternatives in `when` has none."""
    mistakes: list[Mistake] = []
    if before.effective_from != after.effective_from:
        message = f"was {before.effective_from} ms: a version in force keeps its beginning"
        mistakes.append(Mistake((*path, "effective_from"), message))
    if before.overrides_lock != after.overrides_lock:
        message = f"was {str(before.overrides_lock).lower()}: it would change prices of events already priced"
        mistakes.append(Mistake((*path, "overrides_lock"), message))
    old_by_id = {charge.charge: charge for charge in before.charges}
    for index, charge in enumerate(after.charges):
        was = old_by_id.get(charge.charge)
        place = (*path, "charges", index)
        if was is None:
            mistakes.append(Mistake(place, f"charge {charge.charge!r} is new in a version that is in force"))
            continue
        fields = [name for name in _CHARGE_FIELDS if _meaning(was, name) != _meaning(charge, name)]
        message = f"differs from charge {charge.charge!r} of the version in force; make a new version for new prices"
        mistakes += [Mistake((*place, name), message) for name in fields]
    names = [charge.charge for charge in after.charges]
    gone = [name for name in old_by_id if name not in names]
    message = f"version {before.version!r} is in force and has charges that are missing here: {', '.join(gone)}"
    if gone:
        mistakes.append(Mistake((*path, "charges"), message))
    elif not mistakes and names != list(old_by_id):
        message = f"version {before.version!r} is in force with its charges in another order: {', '.join(old_by_id)}"
        mistakes.append(Mistake((*path, "charges"), message))
    return mistakes


def _meaning(charge: Charge, name: str) -> object:
    if name == "when":
        return {field: frozenset(wanted) for field, wanted in charge.when.items()}
    return getattr(charge, name)
