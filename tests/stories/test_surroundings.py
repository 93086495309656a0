"""The environment is no input: a selection of the tests again under another time zone, locale and folder name."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SELECTION = [
    *("tests/cli/events/test_rate.py", "tests/cli/bills/test_prices.py", "tests/cli/events/test_emit_dry_run.py"),
    *(
        "tests/examples/test_price_books.py",
        "tests/application/commands/test_outcome_sentences.py",
        "tests/application/explaining/test_sentences.py",
    ),
    *("tests/sinks/test_odd_values.py", "tests/sinks/test_migrate.py"),
]
"""What prints, reads files, and keeps rows, without a service."""
SURROUNDINGS: dict[str, tuple[dict[str, str], str]] = {
    "time zone and folder name": ({"TZ": "NPT-5:45"}, "jürgen x, ünï=1"),
    "locale": ({"PYTHONIOENCODING": "latin-1", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, "plain"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("environment", "folder"), SURROUNDINGS.values(), ids=SURROUNDINGS.keys())
def test_nothing_depends_on(tmp_path: Path, environment: dict[str, str], folder: str) -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        "-m",
        "not clickhouse_server",
    ]
    # A bar is drawn with other signs where the terminal lacks the usual one; an old store takes longer than the rest.
    command += [
        "-k",
        "not gets_a_progress_bar and not of_the_version_before",
        "--basetemp",
        str(tmp_path / folder),
        *SELECTION,
    ]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True)
    said = (done.stdout + done.stderr).decode("utf-8", "replace")
    assert done.returncode == 0, said[-4000:]
    (passed,) = re.findall(r"(\d+) passed", said)
    assert int(passed) > 120, "the selection has lost its tests"
