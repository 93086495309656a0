"""What a book says of an event: its version, its charges, and what they cost on a plan."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering import book as book_module
from metering.prices import DEFAULT_LIMITS, Book, Unique, parse_book
from metering.records import YEAR_2000
from metering.windows import DAY_MS, Window

Json = dict[str, Any]


def charge(name: str = "lookup", credit: int = 20, **more: object) -> Json:
    return {"charge": name, "credits": credit, **more}


def one_version(*charges: Json) -> Book:
    return parse_book({"versions": [{"version": "v1", "effective_from": YEAR_2000, "charges": list(charges)}]})


def matched(
    book: Book, endpoint: str = "/v1/x", channel: str = "api", plan: str | None = None, **attributes: str
) -> list[tuple[str, int]]:
    pairs = book.matching(book.versions[0], endpoint, channel, plan, attributes)
    return [(charge.charge, credit) for charge, credit in pairs]


def test_what_is_left_out_has_its_usual_value() -> None:
    book = one_version(charge())
    assert (book.price_lock, book.accept_window, book.future_skew) == ("none", *DEFAULT_LIMITS)
    assert DEFAULT_LIMITS == (35 * DAY_MS, 300_000)
    parsed = book.versions[0].charges[0]
    assert (parsed.feature, parsed.action, parsed.credit_type, parsed.per, parsed.unique) == (
        None,
        None,
        "credit",
        None,
        None,
    )
    assert (parsed.when, parsed.plans) == ({}, {})


def test_a_charge_keeps_what_the_book_says() -> None:
    unique = {"by": ["user_id", "attributes.contact_id"], "within": "24h"}
    book = one_version(
        charge("c", 1_000_000, feature="F", action="A", credit_type="email", per="results", unique=unique),
        charge("d", 0, per="request"),
    )
    first, second = book.versions[0].charges
    assert (first.feature, first.action, first.credit_type, first.per, first.credits) == (
        "F",
        "A",
        "email",
        "results",
        1_000_000,
    )
    assert first.unique == Unique(("user_id", "attributes.contact_id"), Window("rolling", DAY_MS))
    assert second.per is None


def test_limits_are_read_one_by_one() -> None:
    data = {
        "limits": {"future_skew": "0s"},
        "versions": [{"version": "v", "effective_from": YEAR_2000, "charges": [charge()]}],
    }
    book = parse_book(data)
    assert (book.accept_window, book.future_skew) == (35 * DAY_MS, 0)


@pytest.mark.parametrize(
    ("when", "event", "matches"),
    [
        ({}, {}, True),
        ({"endpoint": "/v1/x"}, {}, True),
        ({"endpoint": "/v1/x"}, {"endpoint": "/v1/xy"}, False),
        ({"endpoint": "/V1/X"}, {}, False),
        ({"endpoint": ["/v1/y", "/v1/x"]}, {}, True),
        ({"endpoint": "/v1/*"}, {}, True),
        ({"endpoint": "/v1/x*"}, {}, True),
        ({"endpoint": "/v2/*"}, {}, False),
        ({"endpoint": "/v1/*/x"}, {"endpoint": "/v1/a/x"}, False),  # only a trailing * is a prefix
        ({"endpoint": "/v1/*/x"}, {"endpoint": "/v1/*/x"}, True),
        ({"endpoint": "/v1/x", "channel": "api"}, {}, True),
        ({"endpoint": "/v1/x", "channel": "js"}, {}, False),
        ({"plan": "pro"}, {"plan": "pro"}, True),
        ({"plan": "pro"}, {"plan": "free"}, False),
        ({"plan": "pro"}, {}, False),
        ({"plan": "*"}, {}, False),
        ({"plan": "*"}, {"plan": "any"}, True),
        ({"attributes.kind": "a"}, {"kind": "a"}, True),
        ({"attributes.kind": "a"}, {"kind": "b"}, False),
        ({"attributes.kind": "a"}, {}, False),
        ({"attributes.kind": "*"}, {}, False),
        ({"attributes.kind": "*"}, {"kind": "b"}, True),
        ({"attributes.kind": ["b*", "c"]}, {"kind": "bb"}, True),
        ({"attributes.kind": "a", "attributes.size": "1"}, {"kind": "a", "size": "1"}, True),
        ({"attributes.kind": "a", "attributes.size": "1"}, {"kind": "a"}, False),
        ({"attributes.plan": "pro"}, {"plan": "pro"}, False),  # the field is not the attribute of that name
    ],
)
def test_when(when: Json, event: dict[str, str], matches: bool) -> None:
    book = one_version(charge(when=when))
    assert matched(book, **event) == ([("lookup", 20)] if matches else [])
    assert matched(book, **event) == ([("lookup", 20)] if matches else [])  # remembered


def test_every_matching_charge_in_the_books_order_with_the_credits_of_the_plan() -> None:
    book = one_version(
        charge("c", 3),
        charge("a", 1, plans={"pro": 0}),
        charge("b", 2, when={"channel": "js"}),
        charge("d", 4, plans={"x": 9}),
    )
    assert matched(book) == [("c", 3), ("a", 1), ("d", 4)]
    assert matched(book, plan="pro", channel="js") == [("c", 3), ("a", 0), ("b", 2), ("d", 4)]


def test_charges_that_look_at_attributes_stand_among_the_others_in_order() -> None:
    book = one_version(charge("a", 1), charge("b", 2, when={"attributes.kind": "x"}, plans={"pro": 7}), charge("c", 3))
    assert matched(book, plan="pro", kind="x") == [("a", 1), ("b", 7), ("c", 3)]
    assert matched(book, plan="pro", kind="y") == [("a", 1), ("c", 3)]


def test_versions_do_not_share_what_is_remembered() -> None:
    versions = [{"version": f"v{n}", "effective_from": YEAR_2000 + n, "charges": [charge(credit=n)]} for n in (1, 2)]
    book = parse_book({"versions": versions})
    costs = [book.matching(version, "/v1/x", "api", None, {})[0][1] for version in book.versions]
    assert costs == [1, 2]


def test_what_is_remembered_is_bounded_and_reused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book_module, "_REMEMBERED", 10)
    book = one_version(charge(when={"endpoint": "/v1/*"}))
    for number in range(35):
        assert matched(book, f"/v1/{number}") == [("lookup", 20)]
        assert len(book._remembered) <= 10
    version = book.versions[0]
    assert book.matching(version, "/v1/x", "api", None, {}) is book.matching(version, "/v1/x", "api", None, {"a": "b"})


def three(price_lock: str) -> Book:
    """Versions from 100, 200 and 300 ms of the year 2000, in another order in the file."""
    starts = (200, 100, 300)
    versions = [{"version": str(at), "effective_from": YEAR_2000 + at, "charges": [charge()]} for at in starts]
    return parse_book({"price_lock": price_lock, "versions": versions})


@pytest.mark.parametrize(
    ("t", "version"),
    [(99, None), (100, "100"), (199, "100"), (200, "200"), (299, "200"), (300, "300"), (10**15, "300")],
)
def test_the_last_version_that_has_begun_is_in_force(t: int, version: str | None) -> None:
    for lock in ("none", "plan_period"):
        in_force = three(lock).version_for(YEAR_2000 + t, None)
        assert (in_force and in_force.version) == version


@pytest.mark.parametrize(
    ("lock", "occurred_at", "plan_started_at", "version"),
    [
        ("plan_period", 350, 250, "200"),
        ("plan_period", 350, 300, "300"),
        ("plan_period", 350, 100, "100"),
        ("plan_period", 350, 99, "100"),  # the plan began before any price: the first version
        ("plan_period", 350, None, "300"),
        ("plan_period", 99, 50, None),  # no version in force when it happened: unpriced, whatever the plan
        ("plan_period", 99, None, None),
        ("none", 350, 250, "300"),
    ],
)
def test_a_plan_keeps_the_prices_of_its_start(
    lock: str, occurred_at: int, plan_started_at: int | None, version: str | None
) -> None:
    locked_to = None if plan_started_at is None else YEAR_2000 + plan_started_at
    priced_by = three(lock).version_for(YEAR_2000 + occurred_at, locked_to)
    assert (priced_by and priced_by.version) == version


@pytest.mark.slow
@given(st.lists(st.integers(0, 50).map(YEAR_2000.__add__), min_size=1, unique=True), st.integers(-5, 60))
def test_version_at_is_the_greatest_start_not_after(starts: list[int], t: int) -> None:
    book = parse_book(
        {"versions": [{"version": str(start), "effective_from": start, "charges": [charge()]} for start in starts]}
    )
    t += YEAR_2000
    version = book.version_at(t)
    assert (version and version.effective_from) == max((start for start in starts if start <= t), default=None)
