"""What a new book may not change: prices already in force."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from metering.prices import changed_spans, changes_in_force, parse_book
from metering.records import YEAR_2000

Json = dict[str, Any]
NOW = YEAR_2000 + 250
WAS = f"was {YEAR_2000 + 200} ms"

OLD: Json = {
    "versions": [
        {
            "version": str(start),
            "effective_from": YEAR_2000 + start,
            "charges": [
                {
                    "charge": "a",
                    "credits": 1,
                    "when": {"endpoint": ["/x", "/y"]},
                    "unique": {"by": ["ip"], "within": "24h"},
                },
                {"charge": "b", "credits": 2, "plans": {"pro": 1}},
            ],
        }
        for start in (100, 200, 300)
    ],
}


def changes(edit: Callable[[Json], object], at: int = NOW) -> list[tuple[str, str]]:
    new = copy.deepcopy(OLD)
    edit(new)
    return [(one.where, one.message) for one in changes_in_force(parse_book(OLD), parse_book(new), at)]


def first_charge(version: int, **fields: object) -> Callable[[Json], object]:
    return lambda new: new["versions"][version]["charges"][0].update(fields)


def new_version(start: int) -> Json:
    return {"version": "new", "effective_from": start, "charges": [{"charge": "c", "credits": 1}]}


@pytest.mark.parametrize(
    ("edit"),
    [
        lambda new: new,
        lambda new: new["versions"].append(new_version(NOW)),
        lambda new: new["versions"].append(new_version(NOW + 10**9)),
        lambda new: new["versions"].reverse(),  # the order in the file says nothing
        lambda new: new.update(limits={"accept_window": "7d"}),
        lambda new: new["versions"].pop(2),  # not in force yet
        first_charge(2, credits=9),
        lambda new: new["versions"][2].update(effective_from=NOW),
        first_charge(0, when={"endpoint": ["/y", "/x"]}),
        first_charge(0, unique={"by": ["ip"], "within": "1d"}),
        first_charge(0, credit_type="credit", per="request", feature=None),
    ],
)
def test_what_may_change(edit: Callable[[Json], object]) -> None:
    assert changes(edit) == []


@pytest.mark.parametrize(
    ("edit", "where", "message"),
    [
        (first_charge(1, credits=9), "versions[1].charges[0].credits", "differs from charge 'a'"),
        (first_charge(0, when={"endpoint": "/x"}), "versions[0].charges[0].when", "differs"),
        (first_charge(0, plans={"pro": 0}), "versions[0].charges[0].plans", "differs"),
        (first_charge(0, unique={"by": ["ip"], "within": "calendar_day"}), "versions[0].charges[0].unique", "differs"),
        (first_charge(0, feature="F"), "versions[0].charges[0].feature", "differs"),
        (lambda new: new["versions"][0]["charges"].pop(), "versions[0].charges", "missing here: b"),
        (lambda new: new["versions"][0]["charges"].reverse(), "versions[0].charges", "another order: a, b"),
        (
            lambda new: new["versions"][0]["charges"].insert(0, {"charge": "c", "credits": 1}),
            "versions[0].charges[0]",
            "'c' is new",
        ),
        (lambda new: new["versions"].pop(0), "versions", "version '100' is in force and is missing"),
        (
            lambda new: new["versions"][1].update(effective_from=YEAR_2000 + 201),
            "versions[1].effective_from",
            WAS,
        ),
        (
            lambda new: new["versions"][1].update(effective_from=YEAR_2000 + 400),
            "versions[1].effective_from",
            WAS,
        ),
        (lambda new: new["versions"].insert(0, new_version(NOW - 1)), "versions[0].effective_from", "in the past"),
        (lambda new: new["versions"].append(new_version(YEAR_2000)), "versions[3].effective_from", "in the past"),
        (lambda new: new["versions"][2].update(effective_from=NOW - 1), "versions[2].effective_from", "in the past"),
        (lambda new: new.update(price_lock="plan_period"), "price_lock", "is none in the book in force"),
    ],
)
def test_what_may_not(edit: Callable[[Json], object], where: str, message: str) -> None:
    [(place, text)] = changes(edit)
    assert place == where
    assert message in text


def test_a_version_is_in_force_from_its_first_millisecond() -> None:
    edit = first_charge(2, credits=9)
    assert changes(edit, YEAR_2000 + 299) == []
    assert changes(edit, YEAR_2000 + 300) != []


def test_a_new_name_for_a_version_in_force_is_two_mistakes() -> None:
    mistakes = changes(lambda new: new["versions"][0].update(version="renamed"))
    assert [where for where, _ in mistakes] == ["versions", "versions[0].effective_from"]


def test_all_of_it_is_told_at_once() -> None:
    def edit(new: Json) -> None:
        first_charge(0, credits=5, per="results")(new)
        first_charge(1, credits=6)(new)
        new["versions"].append(new_version(YEAR_2000 + 1))

    assert [where for where, _ in changes(edit)] == [
        "versions[0].charges[0].per",
        "versions[0].charges[0].credits",
        "versions[1].charges[0].credits",
        "versions[3].effective_from",
    ]


def spans(edit: Callable[[Json], object], until: int = NOW, **both: Any) -> list[tuple[int, int]]:
    old, new = copy.deepcopy(OLD | both), copy.deepcopy(OLD | both)
    edit(new)
    changed = changed_spans(parse_book(old), parse_book(new), until)
    return [(start - YEAR_2000, end - YEAR_2000) for start, end in changed]


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (lambda new: new, []),
        (lambda new: new["versions"].reverse(), []),
        (lambda new: new.update(limits={"accept_window": "7d"}), []),
        (first_charge(0, when={"endpoint": ["/y", "/x"]}), []),
        (first_charge(2, credits=9), []),
        (first_charge(0, credits=9), [(100, 200)]),
        (first_charge(1, credits=9), [(200, 250)]),
        (lambda new: [first_charge(n, credits=9)(new) for n in range(3)], [(100, 250)]),
        (lambda new: new["versions"][1].update(effective_from=YEAR_2000 + 150), [(150, 200)]),
        (lambda new: new["versions"][1].update(version="renamed"), [(200, 250)]),
        (lambda new: new["versions"].pop(0), [(100, 200)]),
        (lambda new: new["versions"][0]["charges"].reverse(), [(100, 200)]),
        (lambda new: new["versions"].append(new_version(YEAR_2000 + 50)), [(50, 100)]),
        (lambda new: new["versions"].append(new_version(NOW)), []),
        (lambda new: new.update(price_lock="plan_period"), [(100, 250)]),
    ],
)
def test_when_prices_would_change(edit: Callable[[Json], object], expected: list[tuple[int, int]]) -> None:
    assert spans(edit) == expected


def test_a_lock_carries_changed_prices_on() -> None:
    assert spans(first_charge(0, credits=9), price_lock="plan_period") == [(100, 250)]
    assert spans(first_charge(1, credits=9), price_lock="plan_period") == [(200, 250)]
