"""The file of a re-rating's plan: written whole, and read as the scope that a publication needs."""

import json
from pathlib import Path

import pytest

from application.errors import Misconfigured
from application.rerating.plan import RerateScope, read_plan, write_plan

PLAN = {
    "book_id": "b", "log_id": "l", "from": "2026-01-01T00:00:00Z", "to": "2026-02-01T00:00:00Z", "accounts": None,
    "log_ends": {"0": 7, "1": 0},
}  # fmt: skip
JANUARY = (1_767_225_600_000, 1_769_904_000_000)


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    corrections = tmp_path / "corrections"
    corrections.write_text('{"type": "refund"}\n')
    write_plan(tmp_path / "plan", PLAN, corrections)
    assert read_plan(tmp_path / "plan") == RerateScope("b", "l", *JANUARY, None, {0: 7, 1: 0})
    assert [json.loads(line)["type"] for line in (tmp_path / "plan").read_text().splitlines()] == ["plan", "refund"]
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["corrections", "plan"]


def test_a_plan_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "plan").write_text("old")
    with pytest.raises(FileNotFoundError):
        write_plan(tmp_path / "plan", PLAN, tmp_path / "missing")
    assert (tmp_path / "plan").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_what_a_scope_covers() -> None:
    scope = RerateScope("b", "l", *JANUARY, None, {0: 7})
    assert scope.covers([JANUARY, (JANUARY[0] + 1, JANUARY[1])])
    assert not scope.covers([(JANUARY[0] - 1, JANUARY[1])])
    assert not scope.covers([(JANUARY[0], JANUARY[1] + 1)])
    assert [scope.has_read(0, 6), scope.has_read(0, 7), scope.has_read(1, 0)] == [True, False, False]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"type": "refund"}', json.dumps({"type": "plan", **PLAN, "to": 5})])
def test_any_other_file_is_refused_with_its_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other"
    path.write_text(text)
    with pytest.raises(Misconfigured, match="other: not the plan of a re-rating"):
        read_plan(path)
