"""Every rule that a book can break, and that all of them are told at once."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.prices import PriceBookError, Unique, parse_book
from metering.records import LAST_INSTANT, YEAR_2000
from metering.windows import DAY_MS, Window

GOOD: dict[str, Any] = {
    "price_lock": "none",
    "limits": {"accept_window": "35d", "future_skew": "5m"},
    "versions": [
        {
            "version": "v1",
            "effective_from": "2026-01-01T00:00:00Z",
            "charges": [
                {
                    "charge": "lookup",
                    "feature": "F",
                    "action": "A",
                    "credit_type": "credit",
                    "when": {"endpoint": ["/a", "/b*"], "attributes.kind": "x"},
                    "per": "results",
                    "credits": 20,
                    "plans": {"pro": 15},
                    "unique": {"by": ["ip", "attributes.kind"], "within": "24h"},
                },
                {"charge": "other", "credits": 0},
            ],
        },
        {"version": "v2", "effective_from": 1_800_000_000_000, "charges": [{"charge": "lookup", "credits": 1}]},
    ],
}
MISSING = object()


def mistakes(data: object) -> list[tuple[str, str]]:
    try:
        parse_book(data)
    except PriceBookError as error:
        return [(mistake.where, mistake.message) for mistake in error.mistakes]
    return []


def changed(path: str, value: object) -> dict[str, Any]:
    """The good book with another value at a path like `versions.0.charges.0.credits`."""
    data = copy.deepcopy(GOOD)
    *steps, last = [int(step) if step.isdigit() else step.replace("~", ".") for step in path.split(".")]
    place: Any = data
    for step in steps:
        place = place[step]
    if value is MISSING:
        del place[last]
    else:
        place[last] = value
    return data


def test_the_good_book_has_no_mistake() -> None:
    assert mistakes(GOOD) == []


C = "versions.0.charges.0"
WHERE_C = "versions[0].charges[0]"


@pytest.mark.parametrize(
    ("path", "value", "where", "message"),
    [
        ("price_lock", "plan", "price_lock", "none or plan_period"),
        ("price_lock", None, "price_lock", "none or plan_period"),
        ("limits", None, "limits", "must be a mapping"),
        ("limits.accept_windw", "1d", "limits.accept_windw", "did you mean accept_window?"),
        ("limits.accept_window", "0d", "limits.accept_window", "longer than nothing"),
        ("limits.accept_window", "3661d", "limits.accept_window", "at most 3660d"),
        ("limits.accept_window", 35, "limits.accept_window", "must be text"),
        ("limits.future_skew", "5", "limits.future_skew", "is not a duration"),
        ("limits.future_skew", "-5m", "limits.future_skew", "is not a duration"),
        ("versions", MISSING, "versions", "is missing"),
        ("versions", [], "versions", "at least one"),
        ("versions", {}, "versions", "must be a list"),
        ("versions", None, "versions", "must be a list, not nothing"),
        ("versions.0", "v1", "versions[0]", "must be a mapping"),
        ("version", "v1", "version", "did you mean versions?"),
        ("versions.0.version", MISSING, "versions[0].version", "is missing"),
        ("versions.0.version", 2026, "versions[0].version", "put it in quotes"),
        ("versions.0.version", "", "versions[0].version", "not be empty"),
        ("versions.0.version", "x" * 257, "versions[0].version", "256 are the most"),
        ("versions.1.version", "v1", "versions[1].version", "versions[0] has this name already"),
        ("versions.0.effective_from", MISSING, "versions[0].effective_from", "is missing"),
        ("versions.0.effective_from", "2026-01-01", "versions[0].effective_from", "zone"),
        ("versions.0.effective_from", True, "versions[0].effective_from", "must be a time"),
        ("versions.0.effective_from", 1.5, "versions[0].effective_from", "must be a time"),
        ("limits.accept_window", "9999999999999d", "limits.accept_window", "at most 3660d"),
        ("limits.future_skew", "99999999h", "limits.future_skew", "at most 3660d"),
        ("versions.0.effective_from", 0, "versions[0].effective_from", "0 is outside the years 2000 to 9999"),
        ("versions.0.effective_from", YEAR_2000 - 1, "versions[0].effective_from", "2000 to 9999"),
        ("versions.0.effective_from", LAST_INSTANT + 1, "versions[0].effective_from", "read as milliseconds"),
        ("versions.0.effective_from", 2**63 - 1, "versions[0].effective_from", "2000 to 9999"),
        ("versions.0.effective_from", "1999-12-31T23:59:59.999Z", "versions[0].effective_from", "2000 to 9999"),
        ("versions.0.effective_from", "2000-01-01T00:00:00+00:01", "versions[0].effective_from", "2000 to 9999"),
        ("versions.0.effective_from", "9999-12-31T23:59:59-01:00", "versions[0].effective_from", "2000 to 9999"),
        ("versions.0.effective_from", -1, "versions[0].effective_from", "2000 to 9999"),
        pytest.param("versions.0.effective_from", 10**5000, "versions[0].effective_from", "2000 to 9999", id="huge"),
        (
            "versions.1.effective_from",
            "2026-01-01T01:00:00+01:00",
            "versions[1].effective_from",
            "has this start already",
        ),
        ("versions.0.charges", MISSING, "versions[0].charges", "is missing"),
        ("versions.0.charges", [], "versions[0].charges", "at least one"),
        ("versions.0.chargs", [], "versions[0].chargs", "did you mean charges?"),
        (f"{C}.charge", MISSING, f"{WHERE_C}.charge", "is missing"),
        (f"{C}.charge", "x" * 129, f"{WHERE_C}.charge", "128 are the most"),
        (f"{C}.charge", "\ud800", f"{WHERE_C}.charge", "surrogate"),
        (f"{C}.charge", "other", "versions[0].charges[1].charge", "charges[0] has this id already"),
        (f"{C}.feature", "", f"{WHERE_C}.feature", "not be empty"),
        (f"{C}.action", 5, f"{WHERE_C}.action", "must be text"),
        (f"{C}.credit_type", "x" * 257, f"{WHERE_C}.credit_type", "256 are the most"),
        (f"{C}.credit_type", None, f"{WHERE_C}.credit_type", "must be text, not nothing"),
        (f"{C}.per", "", f"{WHERE_C}.per", "not be empty"),
        (f"{C}.per", ["results"], f"{WHERE_C}.per", "must be text, not a list"),
        (f"{C}.credit", 1, f"{WHERE_C}.credit", "did you mean credits?"),
        (f"{C}.credits", MISSING, f"{WHERE_C}.credits", "is missing"),
        (f"{C}.credits", -1, f"{WHERE_C}.credits", "whole number from 0 to 1000000"),
        (f"{C}.credits", 1_000_001, f"{WHERE_C}.credits", "whole number"),
        (f"{C}.credits", True, f"{WHERE_C}.credits", "not true"),
        (f"{C}.credits", "yes", f"{WHERE_C}.credits", 'not "yes"'),
        (f"{C}.plans.pro", True, f"{WHERE_C}.plans.pro", "not true"),
        (f"{C}.credits", 1.0, f"{WHERE_C}.credits", "not 1.0"),
        (f"{C}.credits", "20", f"{WHERE_C}.credits", 'not "20"'),
        pytest.param(f"{C}.credits", 10**5000, f"{WHERE_C}.credits", "very many digits", id="huge credits"),
        (f"{C}.when", None, f"{WHERE_C}.when", "must be a mapping"),
        (f"{C}.when.endpont", "/a", f"{WHERE_C}.when.endpont", "no such field"),
        (f"{C}.when.ip", "1.2.3.4", f"{WHERE_C}.when.ip", "no such field"),
        (f"{C}.when.attributes~", "x", f"{WHERE_C}.when.attributes.", "no such field"),
        (f"{C}.when.endpoint", [], f"{WHERE_C}.when.endpoint", "at least one"),
        (f"{C}.when.endpoint", "", f"{WHERE_C}.when.endpoint", "not be empty"),
        (f"{C}.when.endpoint", ["/a", 5], f"{WHERE_C}.when.endpoint[1]", "put it in quotes"),
        (f"{C}.when.channel", True, f"{WHERE_C}.when.channel", "not true; put it in quotes"),
        (f"{C}.plans", [], f"{WHERE_C}.plans", "must be a mapping"),
        (f"{C}.plans.pro", "15", f"{WHERE_C}.plans.pro", "whole number"),
        (f"{C}.plans.pro", 10**7, f"{WHERE_C}.plans.pro", "whole number"),
        (f"{C}.unique", None, f"{WHERE_C}.unique", "must be a mapping"),
        (f"{C}.unique.by", MISSING, f"{WHERE_C}.unique.by", "is missing"),
        (f"{C}.unique.by", [], f"{WHERE_C}.unique.by", "at least one"),
        (f"{C}.unique.by", "ip", f"{WHERE_C}.unique.by", "must be a list"),
        (f"{C}.unique.by", ["ip", "ip"], f"{WHERE_C}.unique.by[1]", "ip stands here twice"),
        (f"{C}.unique.by", ["plan"], f"{WHERE_C}.unique.by[0]", "no such field"),
        (f"{C}.unique.by", ["attributes."], f"{WHERE_C}.unique.by[0]", "no such field"),
        (f"{C}.unique.within", MISSING, f"{WHERE_C}.unique.within", "is missing"),
        (f"{C}.unique.within", "36501d", f"{WHERE_C}.unique.within", "at most 36500d, or ever"),
        (f"{C}.unique.within", "99999d", f"{WHERE_C}.unique.within", "at most 36500d, or ever"),
        (f"{C}.unique.within", "876001h", f"{WHERE_C}.unique.within", "at most 36500d, or ever"),
        (f"{C}.unique.within", "3153600001s", f"{WHERE_C}.unique.within", "at most 36500d, or ever"),
        (f"{C}.unique.within", "0h", f"{WHERE_C}.unique.within", "at least 1s"),
        (f"{C}.unique.within", "month", f"{WHERE_C}.unique.within", "calendar_day and ever"),
        (f"{C}.unique.withn", "1d", f"{WHERE_C}.unique.withn", "did you mean within?"),
    ],
)
def test_one_mistake_is_told_alone_with_its_place(path: str, value: object, where: str, message: str) -> None:
    [(place, text)] = mistakes(changed(path, value))
    assert place == where
    assert message in text


@pytest.mark.parametrize("data", [None, [], "versions", 5, True])
def test_a_book_is_a_mapping(data: object) -> None:
    assert ("", "must be a mapping") in [(where, message[:17]) for where, message in mistakes(data)]


def test_keys_that_are_no_text_are_told() -> None:
    assert ("versions[0].charges[0].plans.2026", "a key must be text, not 2026") in mistakes(
        changed(f"{C}.plans", {2026: 1, "pro": 2})
    )


@pytest.mark.parametrize("name", ["feature", "action"])
def test_a_label_may_be_null(name: str) -> None:
    assert mistakes(changed(f"{C}.{name}", None)) == []


@pytest.mark.parametrize(
    "name", ["user_id", "ip", "domain", "actor", "request_id", "endpoint", "channel", "attributes.x"]
)
def test_what_can_be_unique(name: str) -> None:
    assert mistakes(changed(f"{C}.unique.by", [name])) == []


def test_all_mistakes_are_told_at_once() -> None:
    data = {
        "price_lok": "none",
        "limits": {"accept_window": "0s", "future_skew": "soon"},
        "versions": [
            {
                "version": 1,
                "effective_from": "yesterday",
                "charges": [
                    {"charge": "a", "credits": -1, "when": {"endpoint": []}, "unique": {"by": [], "within": "?"}},
                    {"charge": "a"},
                    "b",
                ],
            },
            {},
        ],
    }
    assert {where for where, _ in mistakes(data)} == {
        "price_lok",
        "limits.accept_window",
        "limits.future_skew",
        "versions[0].version",
        "versions[0].effective_from",
        "versions[0].charges[0].credits",
        "versions[0].charges[0].when.endpoint",
        "versions[0].charges[0].unique.by",
        "versions[0].charges[0].unique.within",
        "versions[0].charges[1].charge",
        "versions[0].charges[1].credits",
        "versions[0].charges[2]",
        "versions[1].version",
        "versions[1].effective_from",
        "versions[1].charges",
    }


def test_the_error_reads_as_a_list() -> None:
    with pytest.raises(PriceBookError) as caught:
        parse_book(changed(f"{C}.credits", -1))
    assert str(caught.value) == "versions[0].charges[0].credits: must be a whole number from 0 to 1000000, not -1"


LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["ip", "24h", "/a*", "none"])
)
KEYS = st.sampled_from(
    ["versions", "version", "charges", "charge", "credits", "when", "unique", "by", "within", "plans", "limits",
     "effective_from", "accept_window", "endpoint", "per"]
) | st.text() | st.integers()  # fmt: skip
DATA = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4))


@given(DATA)
def test_whatever_the_data_only_a_price_book_error_comes(data: object) -> None:
    mistakes(data)


@given(st.sampled_from(["price_lock", "limits", "versions.0", C, f"{C}.when", f"{C}.plans.pro", f"{C}.unique"]), DATA)
def test_whatever_stands_in_a_good_book(path: str, value: object) -> None:
    for mistake in mistakes(changed(path, value)):
        assert mistake[1]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (f"{C}.unique.within", "36500d"),
        (f"{C}.unique.within", "876000h"),
        ("versions.0.effective_from", "2000-01-01T00:00:00Z"),
        ("versions.1.effective_from", "9999-12-31T23:59:59.999Z"),
        ("limits.accept_window", "3660d"),
    ],
)
def test_the_bounds_themselves_are_right(path: str, value: object) -> None:
    assert mistakes(changed(path, value)) == []


def test_a_book_that_passes_later_bounds_only_comes_with_its_mistakes() -> None:
    data = changed(f"{C}.unique.within", "9999999d")
    data["versions"][0]["effective_from"] = 0
    with pytest.raises(PriceBookError) as caught:
        parse_book(data)
    assert len(caught.value.mistakes) == 2
    assert caught.value.book is not None
    version = caught.value.book.versions[0]
    assert (version.effective_from, version.charges[0].unique) == (
        0,
        Unique(("ip", "attributes.kind"), Window("rolling", 9_999_999 * DAY_MS)),
    )
    data["versions"][0]["charges"][0]["credits"] = True
    with pytest.raises(PriceBookError) as caught:
        parse_book(data)
    assert caught.value.book is None
