"""Settings that all Kafka clients of this process share: addresses, security, and librdkafka's messages in our log."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

from streams import clock

if TYPE_CHECKING:
    from collections.abc import Mapping

MESSAGE_BYTES = 16 << 20
"""The largest message that our topics accept; clients are set up for it."""

_OVERHEAD = 64 << 10

_REPEAT_AFTER = 10.0
_TAKING_TURNS = ("GETPID", "ADDPARTS", "TXNERR", "FATAL", "ENDTXN")
_BEING_FENCED = re.compile("fenced by (a )?newer|an old epoch|another concurrent operation")

logger = logging.getLogger("creditmeter.kafka")


class _Quiet(logging.Filter):
    """Keeps librdkafka's log readable while a broker is away: a failed connection is logged every 10 s, not every time.

    Drops its remarks on settings, which are ours and meant (`enable.gapless.guarantee` is called experimental), and
    those on writers that take turns (`access_writer`): a transaction that another writer ended is tried again.
    """

    def __init__(self) -> None:
        super().__init__()
        self._said_at = -_REPEAT_AFTER

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if text.startswith("CONFWARN"):
            return False
        if text.startswith(_TAKING_TURNS) and _BEING_FENCED.search(text):
            return False
        if text.startswith("FAIL"):
            if clock.monotonic() - self._said_at < _REPEAT_AFTER:
                return False
            self._said_at = clock.monotonic()
        return True


logger.addFilter(_Quiet())


def client_config(bootstrap: str, security: Mapping[str, str] | None = None, **settings: Any) -> dict[str, Any]:
    """Settings for a confluent-kafka client; `bootstrap` is host:port, separated by commas.

    `security` has librdkafka's names (`security.protocol`, `sasl.username`, ...); other settings are written with
    underscores for their points.
    """
    return {
        "bootstrap.servers": bootstrap,
        "client.id": "creditmeter",
        "message.max.bytes": MESSAGE_BYTES + _OVERHEAD,  # the client counts framing that the broker does not
        "socket.keepalive.enable": True,
        "reconnect.backoff.max.ms": 2_000,
        "logger": logger,
        **(security or {}),
        **{name.replace("_", "."): value for name, value in settings.items()},
    }
