"""Compares two price books: differences by version, charge and field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple

from application.prices.files import charge_facts, shown_rate_limit
from application.wording import shown_duration, shown_time
from metering.prices import Book, Version


class ChangeKind(StrEnum):
    """What happened to a version, a charge or a field."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


class BookChange(NamedTuple):
    """One difference. Without a charge it is about the version, without a version about the book.

    `field` is None where a whole charge or version came or went. A version that is
    new has the name of the version before it as `old`, and its charges are compared with that one's.
    """

    kind: ChangeKind
    version: str | None
    charge: str | None
    field: str | None
    old: str | None
    new: str | None


def book_changes(old: Book, new: Book) -> list[BookChange]:
    """Every difference in meaning; the order of versions and comments have none."""
    changes = [*_fields(None, None, _book_facts(old), _book_facts(new)), *_rate_limits(old, new)]
    old_versions = {version.version: version for version in old.versions}
    new_versions = {version.version: version for version in new.versions}
    for name in sorted(old_versions.keys() | new_versions.keys(), key=lambda name: _start(name, old, new)):
        before, after = old_versions.get(name), new_versions.get(name)
        if after is None:
            changes.append(BookChange(ChangeKind.REMOVED, name, None, None, None, None))
            changes.extend(_charges(before, None, name))
            continue
        if before is None:
            previous = new.version_at(after.effective_from - 1)
            changes.append(BookChange(ChangeKind.ADDED, name, None, None, previous.version if previous else None, None))
            if after.overrides_lock:
                changes.append(BookChange(ChangeKind.CHANGED, name, None, "overrides_lock", "false", "true"))
            changes.extend(_charges(previous, after, name))
            continue
        changes.extend(_fields(name, None, _version_facts(before), _version_facts(after)))
        changes.extend(_charges(before, after, name))
    return changes


def shown_changes(changes: list[BookChange], new: Book, old: Book) -> Iterator[str]:
    """The differences for people: + added, - removed, ~ changed."""
    version: str | None = None
    charge: str | None = None
    for change in changes:
        if change.version is None:
            yield f"~ {change.field}: {change.old or '(none)'} -> {change.new or '(none)'}"
            continue
        if change.version != version:
            version, charge = change.version, None
            start = next(
                candidate.effective_from
                for book in (new, old)
                for candidate in book.versions
                if candidate.version == version
            )
            mark = _MARKS[change.kind] if change.charge is None and change.field is None else " "
            against = f"; against {change.old}:" if mark == "+" and change.old else ""
            yield f"{mark} version {version}, from {shown_time(start)}{against}"
            if mark != " ":
                continue
        if change.charge is None:
            yield f"  ~ {change.field}: {change.old} -> {change.new}"
        elif change.field is None:
            charge = change.charge
            yield f"  {_MARKS[change.kind]} charge {charge}: {change.new or change.old}"
        else:
            if change.charge != charge:
                charge = change.charge
                yield f"  ~ charge {charge}"
            yield f"      {change.field}: {change.old or '(none)'} -> {change.new or '(none)'}"


_MARKS = {ChangeKind.ADDED: "+", ChangeKind.REMOVED: "-", ChangeKind.CHANGED: "~"}


def _start(name: str, old: Book, new: Book) -> tuple[int, str]:
    return next((v.effective_from, name) for book in (new, old) for v in book.versions if v.version == name)


def _book_facts(book: Book) -> dict[str, str | None]:
    return {
        "price_lock": book.price_lock,
        "limits.accept_window": shown_duration(book.accept_window),
        "limits.future_skew": shown_duration(book.future_skew),
    }


def _version_facts(version: Version) -> dict[str, str | None]:
    return {
        "effective_from": shown_time(version.effective_from),
        "overrides_lock": str(version.overrides_lock).lower(),
    }


def _rate_limits(old: Book, new: Book) -> Iterator[BookChange]:
    """Rate limits by name: each that came, went, or says something else."""
    olds = {f"rate_limits.{limit.name}": shown_rate_limit(limit) for limit in old.rate_limits}
    news = {f"rate_limits.{limit.name}": shown_rate_limit(limit) for limit in new.rate_limits}
    names = [*news, *(name for name in olds if name not in news)]
    yield from _fields(None, None, {name: olds.get(name) for name in names}, {name: news.get(name) for name in names})


def charge_changes(before: Version | None, after: Version) -> list[BookChange]:
    """What the charges of a version change against those of another (None: there were none)."""
    return list(_charges(before, after, after.version))


def _charges(before: Version | None, after: Version | None, version: str) -> Iterator[BookChange]:
    olds = {charge.charge: charge_facts(charge) for charge in before.charges} if before else {}
    news = {charge.charge: charge_facts(charge) for charge in after.charges} if after else {}
    for name in [*news, *(name for name in olds if name not in news)]:
        if name not in olds:
            yield BookChange(ChangeKind.ADDED, version, name, None, None, _in_short(news[name]))
        elif name not in news:
            yield BookChange(ChangeKind.REMOVED, version, name, None, _in_short(olds[name]), None)
        else:
            yield from _fields(version, name, olds[name], news[name])
    kept = [name for name in news if name in olds]
    if kept != [name for name in olds if name in news]:
        old_order = ", ".join(name for name in olds if name in news)
        yield BookChange(ChangeKind.CHANGED, version, None, "order of charges", old_order, ", ".join(kept))


def _fields(
    version: str | None, charge: str | None, old: Mapping[str, str | None], new: Mapping[str, str | None]
) -> Iterator[BookChange]:
    for field, before in old.items():
        if new[field] != before:
            yield BookChange(ChangeKind.CHANGED, version, charge, field, before, new[field])


def _in_short(facts: dict[str, str | None]) -> str:
    extra = "".join(f", {name} {facts[name]}" for name in ("plans", "unique", "when") if facts[name])
    return f"{facts['credits']} {facts['credit_type']} per {facts['per']}{extra}"
