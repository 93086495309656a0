"""docs/webhooks.md: its receiver takes what is signed for it, and its tables know every event and wait."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from application.access.secret_keys import SecretKeys, webhook_secrets
from application.access.webhooks import EVENTS
from application.webhooks.events import _SOURCES, EventType
from application.webhooks.schedule import Outcome, TryResult
from application.webhooks.sending import HttpSender
from application.webhooks.signing import signed_headers
from application.webhooks.targets import TargetRules
from local.ports import free_ports
from streams import clock

PAGE = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text(encoding="utf-8")
BODY = b'{"type":"balance.below","data":{"account_id":"acme"}}'


def test_the_receiver_takes_what_is_signed_for_it_and_nothing_else(tmp_path: Path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len([line for line in program.splitlines() if line.strip() and "import" not in line]) <= 10
    (port,), (secret,) = free_ports(1), webhook_secrets(SecretKeys([b"a secret of thirty-two characters"]), "wh_1", 1)
    shown = tmp_path / "shown"
    with shown.open("wb") as output:
        receiver = subprocess.Popen(
            [sys.executable, "-c", program], stdout=output, stderr=subprocess.DEVNULL,
            env={**os.environ, "PORT": str(port), "WEBHOOK_SECRET": secret},
        )  # fmt: skip
    try:
        signed = signed_headers([secret], "msg_1", clock.now_ms(), BODY)
        assert sent(port, signed).outcome is Outcome.DELIVERED
        assert sent(port, signed | {"webhook-id": "msg_2"}).outcome is Outcome.FAILED
    finally:
        receiver.kill()
        receiver.wait()
    assert shown.read_text() == "msg_1 balance.below {'account_id': 'acme'}\n"


def sent(port: int, headers: dict[str, str]) -> TryResult:
    """One try, once the receiver listens."""

    async def run() -> TryResult:
        sender = HttpSender(TargetRules(allow_http_to_this_machine=True))
        deadline = time.monotonic() + 60
        while True:
            result = await sender.send(f"http://127.0.0.1:{port}/", headers, BODY)
            if "refused" not in result.attempt.error or time.monotonic() >= deadline:
                return result
            await asyncio.sleep(0.1)

    return asyncio.run(run())


def test_every_event_and_every_member_of_its_data_is_explained() -> None:
    rows = dict(re.findall(r"^\| `([a-z_.]+)` \| [^|]* \| ([^\n]*) \|$", PAGE, re.MULTILINE))
    assert set(rows) == {*EVENTS, EventType.TEST}
    rows["grant.expired"] += rows["grant.applied"]
    for source in _SOURCES.values():
        for event, members in source.fields.items():
            missing = {member for member in members if f"`{member}`" not in rows[event]}
            assert missing == set(), event
