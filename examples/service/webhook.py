"""Sends a result to the address that a request named: the service's own webhook, which creditmeter has no part in."""

import json
import logging
import time
import urllib.request
from typing import Any
from urllib.parse import urlsplit

PAUSES = (0.5, 5.0, 30.0)
"""Seconds between the tries. A job that must not be lost belongs into a queue on disk instead."""

logger = logging.getLogger(__name__)


def is_allowed(url: str) -> bool:
    """https, or http to this machine for trying out.

    A service on the internet also checks that no resolved address is a private one, and connects to just those that it
    has checked: else callers reach its own network through it.
    """
    parts = urlsplit(url)
    return (parts.scheme == "https" and bool(parts.hostname)) or (
        parts.scheme == "http" and parts.hostname in {"127.0.0.1", "localhost"}
    )


def deliver(url: str, result: dict[str, Any]) -> None:
    """Posts the result until it is taken with 2xx. The job's id tells a receiver what it has had already."""
    body = json.dumps(result).encode()
    for pause in (*PAUSES, None):
        request = urllib.request.Request(url, body, {"content-type": "application/json"})  # noqa: S310 -- is_allowed
        try:
            with urllib.request.urlopen(request, timeout=15):  # noqa: S310
                return
        except OSError as error:
            logger.warning("job %s was not delivered: %s", result["job"], error)
        if pause is not None:
            time.sleep(pause)
