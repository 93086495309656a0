"""Price books from files: every mistake with its line, and what a charge says in words that can be compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from application.errors import ErrorCode, Misconfigured
from application.prices.files import (
    charge_facts,
    read_book_file,
    shown_conditions,
    shown_mistake,
    shown_rate_limit,
    try_book_file,
)
from metering.prices import parse_book
from schemas.price_book import LineMistake
from tests.command import BOOK
from tests.metering import meter


def facts(**fields: Any) -> dict[str, str | None]:
    book = parse_book(meter.book(meter.charge("c", **fields)))
    return charge_facts(book.versions[0].charges[0])


def test_the_text_is_the_files_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "book.yaml"
    path.write_bytes(b"# gr\xc3\xb6\xc3\x9fe\r\n" + BOOK.encode())
    text, book = read_book_file(str(path))
    assert text.encode() == path.read_bytes()
    assert [version.version for version in book.versions] == ["2026-01"]


def test_one_mistake_and_several_are_counted_and_each_has_its_line(tmp_path: Path) -> None:
    path = tmp_path / "book.yaml"
    path.write_text(BOOK.replace("credits: 20", "credits: -1"))
    with pytest.raises(Misconfigured) as raised:
        read_book_file(str(path))
    assert (raised.value.heading, raised.value.code) == ("The price book has a mistake:", ErrorCode.INVALID)
    (mistake,) = raised.value.mistakes
    assert mistake.startswith(f"{path}:13: versions[0].charges[1].credits: ")
    path.write_text(BOOK.replace("credits: 20", "credits: -1").replace("within: 24h", "within: soon"))
    text, book, mistakes = try_book_file(str(path))
    assert (text, book, len(mistakes)) == (path.read_text(), None, 2)
    with pytest.raises(Misconfigured, match="The price book has 2 mistakes:"):
        read_book_file(str(path))


@pytest.mark.parametrize("content", [b"\xff\xfe", None])
def test_what_cannot_be_read_as_text_names_the_file(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "book.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Misconfigured, match=r"book\.yaml: cannot be read as text"):
        try_book_file(str(path))


def test_a_mistake_of_the_whole_file_has_no_path_in_it() -> None:
    assert shown_mistake("b.yaml", LineMistake(1, "", "is empty")) == "b.yaml:1: is empty"


def test_a_charge_that_says_little_is_silent_about_the_rest() -> None:
    assert facts() == {
        "credits": "20", "per": "request", "credit_type": "credit", "plans": None, "unique": None, "when": None,
        "feature": None, "action": None,
    }  # fmt: skip


def test_the_order_of_plans_and_conditions_is_no_difference() -> None:
    one = facts(plans={"a": 1, "b": 2}, when={"endpoint": ["/x", "/y"], "channel": "api"})
    other = facts(plans={"b": 2, "a": 1}, when={"channel": "api", "endpoint": ["/y", "/x"]})
    assert one == other
    assert (one["plans"], one["when"]) == ("a 1, b 2", "channel api; endpoint /x | /y")
    assert shown_conditions({}) == ""


@pytest.mark.parametrize("within", ["36h", "calendar_day", "ever"])
def test_windows_in_words(within: str) -> None:
    assert facts(unique=(["ip", "domain"], within))["unique"] == f"ip, domain within {within}"


@pytest.mark.parametrize(
    ("limit", "shown"),
    [
        ({"requests": 60, "per": "1m"}, "60 in 1m"),
        ({"requests": 60, "per": "1h", "plans": {"pro": 600, "big": 9}}, "60 in 1h; big 9; pro 600"),
        ({"requests": 1, "per": "1m", "when": {"endpoint": "/v1/*"}}, "1 in 1m; when endpoint /v1/*"),
    ],
)
def test_rate_limits_in_words(limit: dict[str, Any], shown: str) -> None:
    book = parse_book(meter.book(meter.charge("c")) | {"rate_limits": [{"name": "n"} | limit]})
    assert shown_rate_limit(book.rate_limits[0]) == shown
