"""Pages of other origins: none may ask unless it is configured, and never with a browser's credentials."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from application.in_memory import in_memory_pipeline
from server.parts import PublicFace
from tests.server.keys import PRODUCER
from tests.server.world import ServerWorld, opened_world

CONSOLE, STRANGER = "https://console.example.com", "https://evil.example.com"
PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerWorld]:
    face = PublicFace(origins=[CONSOLE])
    with opened_world(in_memory_pipeline(tmp_path_factory.mktemp("cors")), face) as opened:
        yield opened


def allowed(headers: dict[str, str]) -> set[str]:
    return {name for name in headers if name.startswith("access-control-")}


def test_a_preflight_of_a_configured_origin_is_answered(world: ServerWorld) -> None:
    answer = world.ask("OPTIONS", "/v1/events", headers={"origin": CONSOLE, **PREFLIGHT})
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (204, CONSOLE)
    assert {"authorization", "idempotency-key", "prefer"} <= set(
        answer.headers["access-control-allow-headers"].split(", ")
    )
    assert "access-control-allow-credentials" not in answer.headers
    assert answer.headers["vary"] == "Origin"


def test_its_answers_and_refusals_can_be_read_with_the_headers_that_matter(world: ServerWorld) -> None:
    for key, status in ((PRODUCER, 404), (None, 401)):
        answer = world.ask("GET", "/v1/receipts/none", key=key, headers={"origin": CONSOLE})
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (status, CONSOLE)
        assert {"x-request-id", "ratelimit", "ratelimit-policy", "retry-after"} <= set(
            answer.headers["access-control-expose-headers"].split(", ")
        )
        assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("origin", [STRANGER, "null", f"{CONSOLE}.evil.example.com", "http://console.example.com"])
def test_other_origins_get_nothing(world: ServerWorld, origin: str) -> None:
    preflight = world.ask("OPTIONS", "/v1/events", headers={"origin": origin, **PREFLIGHT})
    answer = world.ask("GET", "/health/live", headers={"origin": origin})
    assert (preflight.status, allowed(preflight.headers), allowed(answer.headers)) == (405, set(), set())


def test_pages_are_not_opened(world: ServerWorld) -> None:
    assert allowed(world.ask("GET", "/docs", headers={"origin": CONSOLE}).headers) == set()


def test_without_configured_origins_nobody_is_let_in() -> None:
    with opened_world(in_memory_pipeline()) as world:
        preflight = world.ask("OPTIONS", "/v1/events", headers={"origin": CONSOLE, **PREFLIGHT})
        answer = world.ask("GET", "/health/live", headers={"origin": CONSOLE})
    assert (preflight.status, allowed(preflight.headers), allowed(answer.headers)) == (405, set(), set())
