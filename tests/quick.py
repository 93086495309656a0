"""`make test-quick`: the pure tests and the contracts over memory, in three processes with a share of the folders each.

A process reads only its share. To hand single tests to processes that have read everything (pytest-xdist) takes a third
more of the processors' time, which `make test` pays back by what it hands out last. Three also where there are two
processors: many tests wait for clocks, sockets and other processes.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[1]
MARKS = "not kafka and not clickhouse_server and not crash and not slow"
INGEST = "tests/application/ingest"
SHARES = (
    ("tests/application", f"--ignore={INGEST}"),
    ("tests/client", "tests/server", "tests/sinks", "tests/cli", "tests/streams"),
    (INGEST, "tests/metering", "tests/schemas", "tests/replay", "tests/stories", "tests/examples", "tests/local"),
)
"""With about the same work. `make lint` looks at the layout."""
NOTHING_SELECTED = 5
"""Pytest's exit code; a share may have no test of a name that was asked for."""


def started(paths: list[str], options: list[str], out: IO[bytes] | None = None) -> subprocess.Popen[bytes]:
    """Pytest on these paths, writing to ``out`` instead of the terminal."""
    environment = os.environ | {"CREDITMETER_TEST_HYPOTHESIS": os.environ.get("CREDITMETER_TEST_HYPOTHESIS", "quick")}
    command = [sys.executable, "-m", "pytest", "-m", MARKS, *options, *paths]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=out)


def main(options: list[str]) -> int:
    """Pytest's exit code, the worst of all. Paths among the options are tested in one process.

    What the first share prints is seen at once, the others' behind it.
    """
    if any(not option.startswith("-") and (ROOT / option.partition("::")[0]).exists() for option in options):
        return started([], options).wait()
    first, *others = map(list, SHARES)
    with contextlib.ExitStack() as stack:
        running = []
        for number, share in enumerate(others, 2):
            out = stack.enter_context(tempfile.TemporaryFile())
            running.append((started(share, ["-o", f"cache_dir=.pytest_cache/{number}", *options], out), out))
        codes = [started(first, options).wait()]
        for other, out in running:
            codes.append(other.wait())
            out.seek(0)
            sys.stdout.buffer.write(out.read())
            sys.stdout.flush()
    failed = [code for code in codes if code not in {0, NOTHING_SELECTED}]
    return failed[0] if failed else min(codes)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):  # all processes have had it, too, and say so
        sys.exit(main(sys.argv[1:]))
    sys.exit(130)
