"""Logging of long-running commands: one line for each event, on standard error."""

from __future__ import annotations

import logging
import sys
import time

from sinks.printable import visible


class _Lines(logging.Formatter):
    """Times in UTC; what a record quotes of others' data acts on no terminal."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(map(visible, super().format(record).split("\n")))


def set_up_logs() -> None:
    """Log our own messages from INFO on, those of libraries from WARNING on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    for name in ("creditmeter", "streams", "sinks", "application.webhooks", "cli"):
        logging.getLogger(name).setLevel(logging.INFO)
