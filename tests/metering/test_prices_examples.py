"""The example books price their example events as their bills, which were worked out by hand, say."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli.main import main
from metering.prices import Book
from metering.records import RejectReason
from schemas.price_book import read_book

EXAMPLES = Path(__file__).parents[2] / "examples" / "prices"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.yaml"))
LINE = ("event_id", "line", "decision", "charge", "units", "unit_credits", "credits")
REFUND = ("refund_id", "status", "reject_reason", "credits", "forfeited")
GRANT = ("grant_id", "status", "credits")
HOLD = ("hold_id", "status", "credits", "charged", "available_after")
ALERT = ("kind", "credit_type", "mark", "balance")

Json = dict[str, Any]


def book(name: str) -> Book:
    return read_book((EXAMPLES / f"{name}.yaml").read_text(), name)


@pytest.fixture(params=[*NAMES, "finder-bulk"])
def example(request: pytest.FixtureRequest) -> tuple[str, Json, list[Json]]:
    """The name of an example, its bill and what `rate` says of its events."""
    name: str = request.param
    files = [str(EXAMPLES / f"{name.removesuffix('-bulk')}.yaml"), str(EXAMPLES / f"{name}.events.ndjson")]
    result = CliRunner().invoke(main, ["rate", "--prices", *files], catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    bill = json.loads((EXAMPLES / f"{name}.bill.json").read_text())
    return name, bill, [json.loads(line) for line in result.stdout.splitlines()]


def rows(outputs: list[Json], kind: str, fields: tuple[str, ...]) -> list[list[Any]]:
    return [[output[field] for field in fields] for output in outputs if output["type"] == kind]


def test_there_are_four() -> None:
    assert NAMES == ["finder", "found-only", "pixel", "records"]


def test_the_lines_are_those_of_the_bill(example: tuple[str, Json, list[Json]]) -> None:
    _, bill, outputs = example
    assert rows(outputs, "billed", LINE) == bill["lines"]


def test_the_rest_is_that_of_the_bill(example: tuple[str, Json, list[Json]]) -> None:
    _, bill, outputs = example
    assert rows(outputs, "refund", REFUND) == bill["refunds"]
    assert rows(outputs, "grant", GRANT) == bill["grants"]
    assert rows(outputs, "hold", HOLD) == bill.get("holds", [])
    assert rows(outputs, "alert", ALERT) == bill["alerts"]
    assert [reason for [reason] in rows(outputs, "dead_letter", ("reason",))] == [
        one for _, one in bill["dead_letters"]
    ]
    assert [name for [name] in rows(outputs, "repeated", ("id",))] == bill["repeated"]


def test_the_sums_are_those_of_the_bill(example: tuple[str, Json, list[Json]]) -> None:
    _, bill, outputs = example
    charged: Counter[str] = Counter()
    balances: dict[str, dict[str, int]] = {}
    for output in outputs:
        if output["type"] == "billed" and output["decision"] == "charged":
            charged[output["credit_type"]] += output["credits"]
        if output.get("balance_after") is not None:
            balances.setdefault(output["account_id"], {})[output["credit_type"]] = output["balance_after"]
    assert charged == bill["credits"]
    assert balances == bill["balances"]


def test_every_charge_of_every_version_is_met_by_an_event(example: tuple[str, Json, list[Json]]) -> None:
    name, bill, _ = example
    if name not in NAMES:  # more events of a book that has its own
        return
    assert {line[3] for line in bill["lines"]} >= {
        charge.charge for version in book(name).versions for charge in version.charges
    }


def test_together_they_show_every_decision_and_reject_reason() -> None:
    bills = [json.loads((EXAMPLES / f"{name}.bill.json").read_text()) for name in NAMES]
    assert {line[2] for bill in bills for line in bill["lines"]} == {
        "charged", "duplicate", "free", "nothing_found", "missing_subject", "insufficient_credits", "not_billable",
        "unpriced",
    }  # fmt: skip
    for name in ("finder", "found-only"):
        bill = json.loads((EXAMPLES / f"{name}.bill.json").read_text())
        assert {reason for _, _, reason, *_ in bill["refunds"]} == {None, *RejectReason}


# The prices of the pixel model: endpoint, channel -> (charge, credits, unique by, window kind).
PIXEL = {
    ("/pixel/hit", "js"): [
        ("pageview", 1, None, None),
        ("pixel-lookup", 20, ("user_id", "ip"), "rolling"),
        ("pixel-company", 10, ("domain",), "ever"),
    ],
    ("track-email-open", "email"): [("email-open", 0, None, None)],
    ("track-email-click", "email"): [("email-click", 0, None, None)],
    ("track-form-submit", "js"): [("form-submit", 0, None, None)],
    ("/v1/ip-lookup", "api"): [("ip-lookup", 20, ("ip",), "rolling")],
    ("/v1/company-enrichment", "api"): [("company-enrichment", 10, None, None)],
    ("/v1/contact-enrichment", "api"): [("contact-enrichment", 50, None, None)],
}


@pytest.mark.parametrize(("endpoint", "channel"), PIXEL)
def test_the_pixel_book_has_every_price_of_its_model(endpoint: str, channel: str) -> None:
    pixel = book("pixel")
    assert [
        (charge.charge, credit, charge.unique and charge.unique.by, charge.unique and charge.unique.window.kind)
        for charge, credit in pixel.matching(pixel.versions[0], endpoint, channel, None, {})
    ] == PIXEL[endpoint, channel]
