"""docs/api.md: its requests run as they are shown, and it knows every operation and every type of problem."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from server.api.problems import ProblemType
from server.api.table import OPERATIONS
from server.openapi.document import openapi_document
from server.openapi.markdown import renewed
from tests.server.keys import MEMBER_OF_ACME, OPERATOR, OWNER_OF_ACME
from tests.server.test_running import Served

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "api.md").read_text()


def test_the_requests_run_as_shown(tmp_path: Path) -> None:
    (tmp_path / ".creditmeter").mkdir()
    (tmp_path / ".creditmeter" / "operator.key").write_text(f"{OPERATOR}\n")
    script = "\n".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL))
    with Served(tmp_path) as server:
        shown = re.sub(r"^curl", "echo; curl", script.replace(":8128", f":{server.port}"), flags=re.MULTILINE)
        done = subprocess.run(["bash", "-eu", "-c", shown], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    first, wrong, receipt, held, hold, released = [line for line in done.stdout.splitlines() if line.strip()]
    assert '"status":"decided"' in first
    assert '"decision":"charged"' in first
    assert all(pointer in wrong for pointer in ('"/0/quantities/results"', '"/0/ip"'))
    assert '"digest":"agrees"' in receipt
    assert all('"status":"held"' in text for text in (held, hold))
    assert '"status":"released"' in released


def test_the_requests_of_usage_and_access_run_as_shown(tmp_path: Path) -> None:
    """As a member and an owner of acme, which has no usage: they are answered, and so is each as described."""
    with Served(tmp_path, "reads") as server:
        answers = [
            _answered(block.replace("https://meter.example.com", f"http://127.0.0.1:{server.port}"), server.port)
            for page in ("usage.md", "access.md")
            for block in re.findall(r"```sh\n(curl .*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)
        ]
    history, sums, key = answers
    assert (history["rows"], history["next"]) == ([], None)
    assert (sums["granularity"], sums["cells"]) == ("P1D", [])
    assert (key["role"], key["actor"], key["key"][:8]) == ("member", "anna", "cm_live_")


def _answered(block: str, port: int) -> Any:
    script = re.sub(r":8128", f":{port}", block)
    environment = {**os.environ, "KEY": MEMBER_OF_ACME, "OWNER_KEY": OWNER_OF_ACME}
    done = subprocess.run(["bash", "-eu", "-c", script], env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_what_is_made_from_the_openapi_document_is_as_it_is_made() -> None:
    assert renewed(PAGE, openapi_document(OPERATIONS)) == PAGE, "make docs/api.md again: python -m server.openapi"


def test_every_type_of_problem_is_explained() -> None:
    rows = dict(re.findall(r"^\| `/problems/([a-z-]+)` \| (\d+) \|", PAGE, re.MULTILINE))
    assert rows == {kind.slug: str(kind.status) for kind in ProblemType}
    assert all(kind.advice in PAGE for kind in ProblemType)


def test_every_operation_is_listed() -> None:
    listed = set(re.findall(r"`((?:GET|POST|PUT|DELETE) /[^`?]*)`", PAGE))
    assert {f"{one.method} {one.path}" for one in OPERATIONS} == listed


def test_a_page_without_the_comments_is_refused() -> None:
    with pytest.raises(ValueError, match="operations"):
        renewed("# a page", openapi_document(OPERATIONS))
