"""`creditmeter prices check` and `diff`."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from tests.command import BOOK

Run = Callable[..., Result]


def test_check_shows_a_good_book(run: Run, book: Path) -> None:
    result = run("prices", "check", book)
    assert result.exit_code == 0
    assert "version 2026-01, from 2026-01-01T00:00:00Z" in result.stdout
    row = next(line for line in result.stdout.splitlines() if "ip-lookup" in line)
    assert "20" in row
    assert "enterprise 15" in row
    assert "ip within 24h" in row
    assert "good, book_id " in result.stderr


def test_check_reports_every_mistake_with_its_line(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(BOOK.replace("credits: 1\n", "credits: -1\n").replace("within: 24h", "within: soon"))
    result = run("prices", "check", path)
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert [line.partition(": ")[0].rpartition("/")[2] for line in lines[:2]] == ["bad.yaml:8", "bad.yaml:15"]
    assert lines[2].endswith("2 mistakes")
    assert result.stdout == ""


def test_check_as_json(run: Run, book: Path, tmp_path: Path) -> None:
    good = json.loads(run("prices", "check", "--json", book).stdout)
    assert (good["good"], good["mistakes"], len(good["book_id"])) == (True, [], 64)
    assert [charge["charge"] for charge in good["versions"][0]["charges"]] == ["pageview", "ip-lookup"]
    path = tmp_path / "bad.yaml"
    path.write_text("versions: []\n")
    result = run("prices", "check", "--json", path)
    assert result.exit_code == 1
    bad = json.loads(result.stdout)
    assert bad["good"] is False
    assert bad["mistakes"][0]["line"] == 1


@pytest.mark.parametrize("content", [b"\xff\xfe", b""])
def test_check_of_what_is_no_text(run: Run, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    assert run("prices", "check", path).exit_code in {1, 2}


def test_diff_by_version_charge_and_field(run: Run, book: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.yaml"
    text = (
        BOOK.replace("credits: 20", "credits: 25").replace("within: 24h", "within: ever").replace("none", "plan_period")
    )
    new.write_text(
        text + "      - charge: enrichment\n        credits: 50\n"
        "  - version: next\n    effective_from: 2026-06-01T00:00:00Z\n    charges:\n      - {charge: a, credits: 3}\n"
    )
    what = "25 credit per request, plans enterprise 15, unique ip within ever, when channel api; endpoint /v1/ip-lookup"
    result = run("prices", "diff", book, new)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "~ price_lock: none -> plan_period",
        "  version 2026-01, from 2026-01-01T00:00:00Z",
        "  ~ charge ip-lookup",
        "      credits: 20 -> 25",
        "      unique: ip within 24h -> ip within ever",
        "  + charge enrichment: 50 credit per request",
        "+ version next, from 2026-06-01T00:00:00Z; against 2026-01:",
        "  + charge a: 3 credit per request",
        "  - charge pageview: 1 credit per request, when endpoint /v1/pageview",
        f"  - charge ip-lookup: {what}",
        "  - charge enrichment: 50 credit per request",
    ]
    back = run("prices", "diff", new, book).stdout.splitlines()
    assert "- version next, from 2026-06-01T00:00:00Z" in back
    assert "  - charge enrichment: 50 credit per request" in back


def test_diff_of_books_that_mean_the_same(run: Run, book: Path, tmp_path: Path) -> None:
    same = tmp_path / "same.yaml"
    same.write_text("# with a comment\n" + BOOK)
    result = run("prices", "diff", book, same)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "mean the same" in result.stderr


def test_diff_wants_two_books(run: Run, book: Path) -> None:
    assert run("prices", "diff", book).exit_code == 2
    assert run("prices", "diff", book, book, book).exit_code == 2
    assert run("prices", "diff", "--published", book, book).exit_code == 2


def test_openapi_is_marked_with_what_calls_cost(run: Run, book: Path, tmp_path: Path) -> None:
    document = {
        "openapi": "3.1.0",
        "info": {"title": "Acme\u001b", "version": "1"},
        "paths": {"/v1/ip-lookup": {"get": {}}},
    }
    (tmp_path / "api.json").write_text(json.dumps(document))
    result = run("prices", "openapi", "--prices", book, tmp_path / "api.json")
    assert (result.exit_code, result.stderr) == (0, "")
    marked = json.loads(result.stdout)
    assert marked["info"] == document["info"]
    credits_ = marked["paths"]["/v1/ip-lookup"]["get"]["x-credits"]
    assert [(one["charge"], one["credits"]) for one in credits_ if one["charge"] == "ip-lookup"] == [("ip-lookup", 20)]
    (tmp_path / "none.json").write_text("{}")
    refused = run("prices", "openapi", "--prices", book, tmp_path / "none.json")
    assert (refused.exit_code, "no OpenAPI document" in refused.stderr) == (2, True)
