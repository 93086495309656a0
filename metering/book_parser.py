"""Turns the plain data of a price book's file into a `Book`, or into a list of all its mistakes."""

from collections.abc import Mapping, Sequence
from typing import Literal

from metering.book import ATTRIBUTE, DEFAULT_LIMITS, Book, Charge, Limits, RateLimit, Unique, Version
from metering.book_fields import Checks, Path, PriceBookError
from metering.windows import DAY_MS, Window, parse_duration

MOST_CREDITS = 1_000_000  # times the greatest quantity, 10^9, this stays far inside a long
MOST_REQUESTS = 1_000_000_000
LONGEST_RATE = 366 * DAY_MS
LONGEST_ID = 128
LONGEST_NAME = 256
LONGEST_ATTRIBUTE = 1_024
LONGEST_LIMIT = 3_660 * DAY_MS
LONGEST_WINDOW = 36_500 * DAY_MS

_FIELDS_IN_WHEN = ("endpoint", "channel", "plan")
_FIELDS_IN_BY = ("user_id", "ip", "domain", "actor", "request_id", "endpoint", "channel")


def parse_book(data: object) -> Book:
    """Returns the book that plain data (mappings, lists, text, integers) describe. PriceBookError has every mistake."""
    checks = Checks()
    top = checks.mapping(data, (), required=("versions",), optional=("price_lock", "limits", "rate_limits"))
    price_lock = _price_lock(checks, top.get("price_lock", "none"))
    limits = _limits(checks, top["limits"]) if "limits" in top else DEFAULT_LIMITS
    rate_limits = _rate_limits(checks, top["rate_limits"]) if "rate_limits" in top else ()
    items = checks.items(top["versions"], ("versions",)) if "versions" in top else []
    versions = [_version(checks, item, ("versions", index)) for index, item in enumerate(items)]
    _note_repeats(checks, _texts(items, "version"), ("versions",), "version", "name")
    starts = [version.effective_from if version else None for version in versions]
    _note_repeats(checks, starts, ("versions",), "effective_from", "start")
    placed = sorted(
        ((version, place) for place, version in enumerate(versions) if version), key=lambda pair: pair[0].effective_from
    )
    in_order, places = tuple(version for version, _ in placed), tuple(place for _, place in placed)
    book = Book(price_lock, *limits, in_order, places, rate_limits)
    if checks.mistakes:
        raise PriceBookError(checks.mistakes, book if all(mistake.is_bound for mistake in checks.mistakes) else None)
    return book


def _price_lock(checks: Checks, value: object) -> Literal["none", "plan_period"]:
    if value == "plan_period":
        return "plan_period"
    if value != "none":
        checks.note(("price_lock",), "must be none or plan_period")
    return "none"


def _limits(checks: Checks, value: object) -> Limits:
    limits = checks.mapping(value, ("limits",), required=(), optional=Limits._fields)
    chosen = DEFAULT_LIMITS._asdict()
    for name, text in limits.items():
        length = checks.parsed(text, ("limits", name), parse_duration)
        if length is None:
            continue
        if length > LONGEST_LIMIT:
            checks.note(("limits", name), f"must be at most {LONGEST_LIMIT // DAY_MS}d")
        elif length == 0 and name == "accept_window":
            checks.note(("limits", name), "must be longer than nothing, or every late event would be refused")
        chosen[name] = length
    return Limits(**chosen)


def _version(checks: Checks, value: object, path: Path) -> Version | None:
    """A version, as far as it could be read; None where its name or its start could not."""
    required, optional = ("version", "effective_from", "charges"), ("overrides_lock",)
    entries = checks.mapping(value, path, required=required, optional=optional)
    name = checks.text(entries["version"], (*path, "version"), LONGEST_NAME) if "version" in entries else None
    start = (
        checks.instant(entries["effective_from"], (*path, "effective_from")) if "effective_from" in entries else None
    )
    inside = (*path, "charges")
    items = checks.items(entries["charges"], inside) if "charges" in entries else []
    charges = [_charge(checks, item, (*inside, index)) for index, item in enumerate(items)]
    _note_repeats(checks, _texts(items, "charge"), inside, "charge", "id")
    overrides_lock = checks.boolean(entries.get("overrides_lock", False), (*path, "overrides_lock"))
    if name is None or start is None:
        return None
    return Version(name, start, tuple(charge for charge in charges if charge), overrides_lock)


def _rate_limits(checks: Checks, value: object) -> tuple[RateLimit, ...]:
    items = checks.items(value, ("rate_limits",))
    _note_repeats(checks, _texts(items, "name"), ("rate_limits",), "name", "name")
    limits = [_rate_limit(checks, item, ("rate_limits", index)) for index, item in enumerate(items)]
    return tuple(limit for limit in limits if limit)


def _rate_limit(checks: Checks, value: object, path: Path) -> RateLimit | None:
    """A limit of requests in a time; None where its name, number or time could not be read."""
    entries = checks.mapping(value, path, required=("name", "requests", "per"), optional=("when", "plans"))
    name = checks.text(entries["name"], (*path, "name"), LONGEST_ID) if "name" in entries else None
    requests = _requests(checks, entries["requests"], (*path, "requests")) if "requests" in entries else None
    per = checks.parsed(entries["per"], (*path, "per"), parse_duration) if "per" in entries else None
    if per is not None and not 0 < per <= LONGEST_RATE:
        checks.note((*path, "per"), f"must be from 1s to {LONGEST_RATE // DAY_MS}d")
    when = _when(checks, entries["when"], (*path, "when")) if "when" in entries else {}
    plans: dict[str, int] = {}
    inside = (*path, "plans")
    for plan, number in (checks.named_values(entries["plans"], inside) or {}).items() if "plans" in entries else ():
        checks.text(plan, (*inside, plan), LONGEST_NAME)
        plans[plan] = _requests(checks, number, (*inside, plan)) or 0
    if name is None or requests is None or per is None:
        return None
    return RateLimit(name, when, requests, per, plans)


def _requests(checks: Checks, value: object, path: Path) -> int | None:
    """A number of requests: none at all would be a plan that cannot call, which `when` and prices do not say."""
    number = checks.integer(value, path, MOST_REQUESTS)
    if number == 0:
        checks.note(path, "must be at least 1")
        return None
    return number


def _charge(checks: Checks, value: object, path: Path) -> Charge | None:
    """A charge, as far as it could be read; None where its id could not."""
    optional = ("feature", "action", "credit_type", "when", "per", "plans", "unique")
    entries = checks.mapping(value, path, required=("charge", "credits"), optional=optional)

    def name(key: str, longest: int = LONGEST_NAME) -> str | None:
        return checks.text(entries[key], (*path, key), longest) if key in entries else None

    def label(key: str) -> str | None:
        return None if entries.get(key) is None else name(key)

    charge = name("charge", LONGEST_ID)
    feature, action = label("feature"), label("action")
    credit_type, per = name("credit_type"), name("per")
    credit = checks.integer(entries["credits"], (*path, "credits"), MOST_CREDITS) if "credits" in entries else None
    when = _when(checks, entries["when"], (*path, "when")) if "when" in entries else {}
    plans = _plans(checks, entries["plans"], (*path, "plans")) if "plans" in entries else {}
    unique = _unique(checks, entries["unique"], (*path, "unique")) if "unique" in entries else None
    if charge is None:
        return None
    return Charge(
        charge,
        feature,
        action,
        credit_type or "credit",
        when,
        None if per == "request" else per,
        credit or 0,
        plans,
        unique,
    )


def _when(checks: Checks, value: object, path: Path) -> Mapping[str, tuple[str, ...]]:
    when: dict[str, tuple[str, ...]] = {}
    for name, wanted in (checks.named_values(value, path) or {}).items():
        inside = (*path, name)
        _note_unknown_field(checks, name, inside, _FIELDS_IN_WHEN)
        longest = LONGEST_ATTRIBUTE if name.startswith(ATTRIBUTE) else LONGEST_NAME
        if isinstance(wanted, list):
            texts = [checks.text(one, (*inside, at), longest) for at, one in enumerate(checks.items(wanted, inside))]
        else:
            texts = [checks.text(wanted, inside, longest)]
        when[name] = tuple(text for text in texts if text is not None)
    return when


def _plans(checks: Checks, value: object, path: Path) -> Mapping[str, int]:
    plans: dict[str, int] = {}
    for plan, value_for_plan in (checks.named_values(value, path) or {}).items():
        checks.text(plan, (*path, plan), LONGEST_NAME)
        plans[plan] = checks.integer(value_for_plan, (*path, plan), MOST_CREDITS) or 0
    return plans


def _unique(checks: Checks, value: object, path: Path) -> Unique | None:
    entries = checks.mapping(value, path, required=("by", "within"), optional=())
    window = checks.parsed(entries["within"], (*path, "within"), Window.parse) if "within" in entries else None
    if window is not None and window.ms > LONGEST_WINDOW:
        checks.note((*path, "within"), f"must be at most {LONGEST_WINDOW // DAY_MS}d, or ever", is_bound=True)
    inside = (*path, "by")
    by: list[str] = []
    for at, item in enumerate(checks.items(entries["by"], inside) if "by" in entries else []):
        name = checks.text(item, (*inside, at), len(ATTRIBUTE) + LONGEST_NAME)
        if name is None:
            continue
        _note_unknown_field(checks, name, (*inside, at), _FIELDS_IN_BY)
        if name in by:
            checks.note((*inside, at), f"{name} stands here twice")
        by.append(name)
    return Unique(tuple(by), window) if window else None


def _note_unknown_field(checks: Checks, name: str, path: Path, known: tuple[str, ...]) -> None:
    if name not in known and not (name.startswith(ATTRIBUTE) and len(name) > len(ATTRIBUTE)):
        checks.note(path, f"no such field; these can be used: {', '.join(known)} and {ATTRIBUTE}NAME")


def _texts(items: list[object], key: str) -> list[str | None]:
    """What each item has under a key, where it is text: also of items that have other mistakes."""
    values = [item.get(key) if isinstance(item, dict) else None for item in items]
    return [value if isinstance(value, str) else None for value in values]


def _note_repeats(checks: Checks, values: Sequence[str | int | None], path: Path, key: str, word: str) -> None:
    """Note each value that an earlier item of the list has already."""
    first: dict[str | int, int] = {}
    for index, value in enumerate(values):
        if value is None:
            continue
        if value in first:
            checks.note((*path, index, key), f"{path[-1]}[{first[value]}] has this {word} already")
        first.setdefault(value, index)
