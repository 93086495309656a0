"""Admission against the real server: exactly as many calls as the balance pays for; holds of a service that died."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from creditmeter_client import HoldRequest, HoldStatus, HttpTransport, Meter
from creditmeter_client.middleware import Admission, CreditMiddleware, MiddlewareSettings, RoutePolicy, WhenAway
from creditmeter_client.middleware.calls import Call
from creditmeter_client.usage import Usage

from streams import clock
from tests.client.middleware.apps import call_asgi, scope_of
from tests.client.middleware.test_admission import Work
from tests.client.real_server import RealServer, served
from tests.server.keys import OPERATOR

pytestmark = pytest.mark.slow

BOOK = """\
price_lock: none
versions:
  - version: "2026-01"
    effective_from: 2026-01-01T00:00:00Z
    charges:
      - {charge: people, when: {endpoint: /v1/people}, per: results, credits: 2}
"""
CLIENT = Path(__file__).parents[3] / "client"
PAID_FOR = 5


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    with served(tmp_path_factory.mktemp("server"), BOOK) as server:
        yield server


@pytest.mark.parametrize("admission", [Admission.HOLD, Admission.CHARGE])
def test_with_credits_for_n_calls_and_4n_at_once_n_are_served(server: RealServer, admission: Admission) -> None:
    """Each caller sends the same request id and idempotency key, and gains nothing by it."""
    account = f"acct-{admission.value}"
    server.grant(account, 20 * PAID_FOR)

    def describe(call: Call) -> Usage:
        return call.usage(account, call.path, quantities={"results": 10}, request_id=call.headers["x-request-id"])

    policies = {"/v1/*": RoutePolicy(admission, WhenAway.CLOSED)}
    settings = MiddlewareSettings(describe, routes=policies, admission_wait=60.0, wait=60.0)
    work = Work()
    forged = {"x-request-id": "same", "idempotency-key": "same", "x-hold-id": "same", "credit-usage": "true"}

    async def run(app: CreditMiddleware) -> list[int]:
        scopes = [scope_of(headers=forged) for _ in range(4 * PAID_FOR)]
        return [answer.status for answer in await asyncio.gather(*(call_asgi(app, scope) for scope in scopes))]

    with Meter(HttpTransport(server.url, OPERATOR)) as meter:
        statuses = asyncio.run(run(CreditMiddleware(work, meter=meter, settings=settings)))
        assert meter.flush(60)
        last = meter.decide(account_id=account, endpoint="/v1/people", quantities={"results": 1}, wait=60.0)
    assert Counter(statuses) == {200: PAID_FOR, 402: 3 * PAID_FOR}
    assert work.calls == PAID_FOR
    assert last.insufficient


def test_the_hold_of_a_killed_service_expires_by_itself_and_not_before(server: RealServer) -> None:
    server.grant("killed", 100)
    program = textwrap.dedent(
        """
        import os, signal, sys
        from creditmeter_client import HttpTransport, Meter
        meter = Meter(HttpTransport(sys.argv[1], sys.argv[2]))
        hold = meter.hold("killed", credits={"credit": 100}, expires_in=4.0, wait=60.0)
        print(hold.status.value, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    began = clock.now_ms()
    command = [sys.executable, "-c", program, server.url, OPERATOR]
    killed = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(CLIENT)}, capture_output=True, text=True, timeout=120
    )
    assert (killed.stdout, killed.returncode) == ("held\n", -signal.SIGKILL), killed.stderr
    transport = HttpTransport(server.url, OPERATOR)
    deadline = time.monotonic() + 120
    for number in range(10_000):
        request = HoldRequest(credits={"credit": 100}, expires_at=clock.now_ms() + 600_000)
        hold = transport.hold(f"next-{number}", "killed", request, 60.0)
        if hold.status is HoldStatus.HELD:
            break
        assert (hold.status, hold.available) == (HoldStatus.REJECTED, {"credit": 0})
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert clock.now_ms() >= began + 4_000
    transport.close()
