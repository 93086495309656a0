"""The example price books, rated by the command as their readers would."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

EXAMPLES = Path(__file__).parents[2] / "examples" / "prices"
BOOKS = sorted(EXAMPLES.glob("*.yaml"))


def test_there_is_a_book_for_each_model() -> None:
    assert [book.stem for book in BOOKS] == ["finder", "found-only", "pixel", "records"]


@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.stem)
def test_an_example_costs_what_its_bill_says(run: Callable[..., Result], book: Path) -> None:
    result = run("rate", "--prices", book, book.with_suffix(".events.ndjson"))
    assert result.exit_code == 0
    bill = json.loads(book.with_suffix(".bill.json").read_text())
    billed = [row for row in map(json.loads, result.stdout.splitlines()) if row["type"] == "billed"]
    names = ("event_id", "line", "decision", "charge", "units", "unit_credits", "credits")
    assert [[line[name] for name in names] for line in billed] == bill["lines"]
    totals: Counter[str] = Counter()
    for line in billed:
        if line["credits"]:
            totals[line["credit_type"]] += line["credits"]
    assert totals == bill["credits"]


@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.stem)
def test_an_example_checks(run: Callable[..., Result], book: Path) -> None:
    assert run("prices", "check", book).exit_code == 0
