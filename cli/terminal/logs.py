"""What long-running commands tell: one line an event on standard error."""

from __future__ import annotations

import logging
import sys


def set_up_logs() -> None:
    """Our own from INFO on, the libraries' from WARNING on."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    for name in ("creditmeter", "streams", "sinks", "cli"):
        logging.getLogger(name).setLevel(logging.INFO)
