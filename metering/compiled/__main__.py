"""`python -m metering.compiled`: prints how the hot modules run. Exit code 1 where extension modules are stale."""

from __future__ import annotations

import sys

from metering.compiled import MODE

if __name__ == "__main__":
    sys.stdout.write(f"{MODE}\n")
    sys.exit(1 if MODE.is_stale else 0)
