"""docs/api.md: its requests run as they are shown, and it knows every operation and every type of problem."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from server.api import events, holds, receipts
from server.api.problems import ProblemType
from server.api.table import OPERATIONS
from tests.server.keys import OPERATOR
from tests.server.test_running import Served

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "api.md").read_text()


def test_the_requests_run_as_shown(tmp_path: Path) -> None:
    (tmp_path / ".creditmeter").mkdir()
    (tmp_path / ".creditmeter" / "operator.key").write_text(f"{OPERATOR}\n")
    server = Served(tmp_path)
    script = "\n".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL))
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
    assert server.end() == 0


def test_every_type_of_problem_is_explained() -> None:
    rows = dict(re.findall(r"^\| `/problems/([a-z-]+)` \| (\d+) \|", PAGE, re.MULTILINE))
    assert rows == {kind.slug: str(kind.status) for kind in ProblemType}


def test_what_is_listed_is_there_and_events_receipts_and_holds_are_listed() -> None:
    listed = set(re.findall(r"`((?:GET|POST|PUT|DELETE) /[^`]*)`", PAGE))
    operations = {f"{one.method} {one.path}" for one in OPERATIONS}
    ours = {f"{one.method} {one.path}" for one in (*events.OPERATIONS, *receipts.OPERATIONS, *holds.OPERATIONS)}
    assert (listed - operations, ours - listed) == (set(), set())
