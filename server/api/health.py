"""Whether the server lives and can take requests, and its metrics: for anyone who reaches it."""

from __future__ import annotations

import ipaddress
from typing import Literal

from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from application.errors import Failed
from server.api.answers import json_answer
from server.api.call import Call
from server.api.contract import Content, Parameter
from server.api.problems import Problem, ProblemType
from server.api.routing import Operation
from server.messages.scalars import Fine


async def live(_call: Call) -> Response:
    """200 while the process answers at all."""
    return json_answer({"status": "ok"})


async def ready(call: Call) -> Response:
    """200 where events can be taken; with `?for=reads`, where customers' reads can be answered, too."""
    wanted = call.parameter("for")
    if wanted not in {None, "events", "reads"}:
        raise Problem(ProblemType.INVALID_PARAMETERS, "for is events or reads")
    parts = call.parts
    checks = [*parts.ready_for_events, *(parts.ready_for_reads if wanted == "reads" else ())]
    reasons = [reason for check in checks if (reason := check()) is not None]
    if parts.is_draining:
        reasons.append("the server is ending")
    if wanted == "reads" and (reason := await _store_problem(call)) is not None:
        reasons.append(reason)
    if reasons:
        raise Problem(ProblemType.UNAVAILABLE, "; ".join(reasons))
    return json_answer({"status": "ok"})


async def _store_problem(call: Call) -> str | None:
    recorded = call.parts.recorded
    if recorded is None:
        return None  # a server without a store has other checks, if any
    try:
        await run_in_threadpool(recorded.answers)
    except Failed as error:
        return error.message
    return None


async def metrics(call: Call) -> Response:
    """Prometheus' text, for clients on this machine only."""
    client = call.scope.get("client")
    try:
        is_here = client is not None and ipaddress.ip_address(client[0]).is_loopback
    except ValueError:
        is_here = False
    if not is_here:
        raise Problem(ProblemType.NOT_FOUND, "metrics are for clients on this machine")
    parts = call.parts
    parts.metrics.in_hand.set(parts.limits.requests)
    parts.metrics.body_bytes.set(parts.limits.bytes)
    return Response(parts.metrics.text(), media_type=CONTENT_TYPE_LATEST)


_FOR = Parameter("for", "reads: whether ClickHouse answers, too", Literal["events", "reads"])
OPERATIONS = (
    Operation("GET", "/health/live", None, live, "Whether the process answers", (), None, {200: Fine}),
    Operation(
        "GET", "/health/ready", None, ready, "Whether events can be taken", (_FOR,), None, {200: Fine},
        (ProblemType.UNAVAILABLE,),
    ),
    Operation(
        "GET", "/metrics", None, metrics, "Figures for Prometheus, on this machine", (), None,
        {200: Content({"text/plain": None}, "Prometheus' text")}, (ProblemType.NOT_FOUND,),
    ),
)  # fmt: skip
