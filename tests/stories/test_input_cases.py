"""Inputs that went wrong once, as they lie beside the checkout: what `emit` and `rate` make of them."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Run = Callable[..., Result]
BESIDE = Path(__file__).parents[3] / "shared" / "cases"


def case(name: str) -> Path:
    folder = Path(os.environ.get("CREDITMETER_TEST_CASES", BESIDE))
    if not folder.is_dir():
        pytest.fail(f"the inputs are not at {folder}: set CREDITMETER_TEST_CASES to where they are", pytrace=False)
    return next(folder.glob(f"{name}-*"))


def emitted(run: Run, path: Path) -> Result:
    return run("emit", "--dry-run", "--account", "acme", path)


@pytest.mark.parametrize(
    ("name", "files", "credits_"),
    [("01", ["access.log"], 10), ("04", ["first.log", "grown.log"], 30), ("14", ["access.log"], 30)],
)
def test_the_bill_of_a_log(run: Run, name: str, files: list[str], credits_: int) -> None:
    folder = case(name)
    lines = "".join(emitted(run, folder / file).stdout for file in files)
    rated = run("rate", "--prices", folder / "book.yaml", stdin=lines)
    assert f"charged: {credits_} credit" in rated.stderr.splitlines()


@pytest.mark.parametrize("name", ["03", "14"])
def test_no_line_is_taken_without_its_address_or_with_a_made_up_actor(run: Run, name: str) -> None:
    printed = emitted(run, case(name) / "access.log")
    events = [json.loads(line) for line in printed.stdout.splitlines()]
    assert events
    assert all(event["ip"] for event in events)
    assert not any("-" in (event["actor"] or "").split() for event in events)


def test_long_paths(run: Run) -> None:
    for file, count in (("fifty-8k.log", 50), ("one-64k.log", 1)):
        assert f"{count} printed, 0 bad lines" in emitted(run, case("02") / file).stderr


def test_statuses_and_a_leap_second(run: Run) -> None:
    printed = emitted(run, case("15") / "access.log")
    assert [json.loads(line)["outcome"] for line in printed.stdout.splitlines()] == ["failed", "failed", "processed"]


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("array.json", "is a JSON array"), ("array-one-line.json", "is a JSON array"), ("utf16.ndjson", "UTF-16"),
        ("tail.ndjson", "1: is the end of a JSON object whose beginning is missing"),
    ],
)  # fmt: skip
def test_what_is_no_ndjson_is_named(run: Run, file: str, said: str) -> None:
    path = case("11") / file
    for options in ([], ["--account", "a"]):
        assert said in run("emit", "--dry-run", *options, path).stderr
    rated = run("rate", "--prices", case("11") / "book.yaml", path)
    assert (rated.exit_code == 1) is (file != "tail.ndjson")
    assert "charged" not in rated.stdout
