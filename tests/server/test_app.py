"""What every request passes: route, host, key, limits, and the shape of refusals."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.responses import Response

from application.access.identity import Action, Identity, Role
from application.errors import ErrorCode, Failed
from application.in_memory import in_memory_pipeline
from server import app as app_module
from server.api.answers import json_answer
from server.api.call import Call
from server.api.problems import Problem, ProblemType
from server.api.routing import Operation
from server.limits import Bounds
from server.parts import Parts, PublicFace
from tests.server.asgi_client import Answer, request
from tests.server.keys import MEMBER_OF_ACME, OPERATOR, PRODUCER, PRODUCER_OF_ACME, KnownKeys
from tests.server.world import ServerWorld, opened_world


async def _shown(call: Call) -> Response:
    return json_answer({"account": call.account, "ids": dict(call.ids), "who": call.who.key_id})


async def _failing(call: Call) -> Response:
    raise {"/fails": ZeroDivisionError(), "/conflict": Failed("so", ErrorCode.CONFLICT)}[call.scope["path"]]


async def _body(call: Call) -> Response:
    return json_answer(len(await call.body()))


Ask = Callable[..., Answer]
TABLE = (
    *app_module.OPERATIONS,
    Operation("GET", "/v1/accounts/{account}/shown", Action.READ_USAGE, _shown, ""),
    Operation("GET", "/v1/shown", Action.READ_STATUS, _shown, ""),
    Operation("POST", "/v1/send", Action.SEND_EVENTS, _body, ""),
    Operation("GET", "/fails", None, _failing, ""),
    Operation("GET", "/conflict", None, _failing, ""),
)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ServerWorld]:
    monkeypatch.setattr(app_module, "OPERATIONS", TABLE)
    bounds = Bounds(requests=3, requests_of_a_key=2, body_bytes=1_000)
    with opened_world(in_memory_pipeline(tmp_path), PublicFace(["meter.example"]), bounds) as opened:
        yield opened


@pytest.fixture
def parts(world: ServerWorld) -> Parts:
    return world.parts


@pytest.fixture
def ask(world: ServerWorld) -> Callable[..., Answer]:
    return world.ask


def test_health_is_for_anyone(parts: Parts, ask: Ask) -> None:
    assert ask("GET", "/health/live").json == {"status": "ok"}
    assert ask("GET", "/health/ready").status == 200
    parts.ready_for_reads.append(lambda: "ClickHouse is away")
    assert ask("GET", "/health/ready").status == 200
    away = ask("GET", "/health/ready?for=reads")
    assert (away.status, away.json["detail"], away.headers["retry-after"]) == (503, "ClickHouse is away", "1")
    assert ask("GET", "/health/ready?for=nothing").status == 400
    parts.is_draining = True
    assert ask("GET", "/health/ready").status == 503


def test_metrics_are_for_this_machine(ask: Ask) -> None:
    ask("GET", "/health/live")
    page = ask("GET", "/metrics")
    assert b'route="/health/live",status="200"' in page.body
    assert ask("GET", "/metrics", client="203.0.113.9").status == 404


def test_every_answer_has_an_id_and_safe_headers(ask: Ask) -> None:
    answer = ask("GET", "/health/live", headers={"x-request-id": "mine-1"})
    assert answer.headers["x-request-id"] == "mine-1"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert "strict-transport-security" not in answer.headers
    odd = ask("GET", "/nowhere", headers={"x-request-id": 'a" onload'})
    assert re.fullmatch("[0-9a-f]{32}", odd.headers["x-request-id"])


def test_unknown_paths_and_methods_are_problems(ask: Ask) -> None:
    missing = ask("GET", "/v1/nothing")
    assert (missing.status, missing.headers["content-type"]) == (404, "application/problem+json")
    assert missing.json["type"] == "/problems/not-found"
    other = ask("PUT", "/v1/shown", key=OPERATOR)
    assert (other.status, other.headers["allow"]) == (405, "GET")


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost:8080", 200), ("127.0.0.1", 200), ("[::1]:80", 200), ("meter.example", 200), ("evil.example", 400)],
)
def test_only_known_hosts_are_answered_for(ask: Ask, host: str, status: int) -> None:
    assert ask("GET", "/health/live", headers={"host": host}).status == status


def test_a_key_is_asked_for_and_seen_to_allow_it(ask: Ask) -> None:
    assert ask("GET", "/v1/shown").status == 401
    assert ask("GET", "/v1/shown", key="wrong").headers["www-authenticate"] == "Bearer"
    assert ask("GET", "/v1/shown", key=PRODUCER).status == 403
    assert ask("GET", "/v1/shown", key=OPERATOR).status == 200
    assert ask("GET", "/v1/shown", headers={"x-api-key": OPERATOR}).status == 200
    assert ask("GET", "/v1/shown", headers={"x-api-key": OPERATOR}, key=PRODUCER).status == 401
    assert ask("GET", "/v1/shown", headers={"authorization": f"Basic {OPERATOR}"}).status == 401


def test_a_key_that_was_just_made_is_looked_for(parts: Parts, ask: Ask) -> None:
    assert isinstance(parts.authenticator, KnownKeys)
    parts.authenticator.slow["new"] = Identity(Role.OPERATOR, None, None, "k-new", "new")
    assert ask("GET", "/v1/shown", key="new").json["who"] == "k-new"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("self", 200), ("acme", 200), ("other", 404), ("acme%2Fkeys", 404), ("acme%2fshown", 404), ("%2e%2e", 404),
        ("..", 404), ("~YWNtZQ", 200), ("~b3RoZXI", 404), ("acme%00", 404), ("%ff", 404), ("~", 404), ("ACME", 404),
    ],
)  # fmt: skip
def test_a_path_names_the_key_s_own_account_or_none(ask: Ask, path: str, status: int) -> None:
    answer = ask("GET", f"/v1/accounts/{path}/shown", key=MEMBER_OF_ACME)
    assert answer.status == status
    if status == 200:
        assert answer.json["account"] == "acme"


def test_self_of_a_key_of_all_accounts_is_nobody(ask: Ask) -> None:
    assert ask("GET", "/v1/accounts/self/shown", key=OPERATOR).status == 404
    assert ask("GET", "/v1/accounts/acme/shown", key=PRODUCER_OF_ACME).status == 403


def test_a_failure_is_a_500_without_its_cause(ask: Ask) -> None:
    answer = ask("GET", "/fails")
    assert (answer.status, "ZeroDivision" in answer.body.decode()) == (500, False)


def test_errors_of_use_cases_have_their_status(ask: Ask) -> None:
    assert ask("GET", "/conflict").status == 409


def test_a_body_is_bounded_before_and_while_it_is_read(ask: Ask) -> None:
    assert ask("POST", "/v1/send", b"x" * 1_000, key=PRODUCER).json == 1_000
    assert ask("POST", "/v1/send", b"", key=PRODUCER, headers={"content-length": "1001"}).status == 413
    assert ask("POST", "/v1/send", [b"x" * 600, b"y" * 600], key=PRODUCER).status == 413
    assert ask("POST", "/v1/send", b"x", key=PRODUCER, headers={"content-encoding": "br"}).status == 415
    assert ask("POST", "/v1/send", b"x", key=PRODUCER, headers={"content-encoding": "gzip"}).status == 400


def test_requests_at_once_are_bounded_by_key_and_in_all(world: ServerWorld, parts: Parts) -> None:
    app = world.app

    async def crowd() -> list[int]:
        stalled = [asyncio.create_task(request(app, "POST", "/v1/send", [], key=key)) for key in (PRODUCER, PRODUCER)]
        await asyncio.sleep(0.05)
        statuses = [(await request(app, "POST", "/v1/send", b"", key=PRODUCER)).status]
        statuses.append((await request(app, "POST", "/v1/send", b"", key=OPERATOR)).status)
        stalled.append(asyncio.create_task(request(app, "POST", "/v1/send", [], key=OPERATOR)))
        await asyncio.sleep(0.05)
        statuses.append((await request(app, "POST", "/v1/send", b"", key=OPERATOR)).status)
        for task in stalled:
            task.cancel()
        await asyncio.gather(*stalled, return_exceptions=True)
        statuses.append((await request(app, "POST", "/v1/send", b"", key=PRODUCER)).status)
        return statuses

    assert world.run(crowd()) == [429, 200, 503, 200]
    assert (parts.limits.requests, parts.limits.bytes) == (0, 0)


def test_the_log_line_has_no_key_and_no_body(ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "creditmeter.http")
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    ask("POST", "/v1/send?note=x", b"secret-body", key=PRODUCER, headers={"traceparent": trace})
    (line,) = [record.getMessage() for record in caplog.records]
    assert "status=200" in line
    assert "trace=4bf92f3577b34da6a3ce929d0e0e4736" in line
    assert "key=k-producer" in line
    assert "secret-body" not in line
    assert not re.search(r"Bearer|key=producer\b", line)


def test_every_type_of_problem_has_its_own_slug() -> None:
    assert len({kind.slug for kind in ProblemType}) == len(ProblemType)
    assert Problem(ProblemType.TOO_MANY_REQUESTS, "x").response().headers["retry-after"] == "1"
