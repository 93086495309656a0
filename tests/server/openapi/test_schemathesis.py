"""schemathesis over the whole document: no 500, no answer that is not described, each as it is described.

In process, over the in-memory pipeline with chDB. `API_EXAMPLES` (6) is how many requests an operation gets.
schemathesis is imported where it is used: that takes more than a second, and every process that runs tests reads this.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from application.access.access import opened_access
from application.access.secret_keys import SecretKeys
from server.api.table import OPERATIONS
from server.openapi.document import operation_id
from tests.server.api.reading_world import opened_reading_world
from tests.server.keys import OPERATOR
from tests.server.world import ServerWorld

pytestmark = pytest.mark.slow

EXAMPLES = int(os.environ.get("API_EXAMPLES", "6"))
QUIET = settings(
    deadline=None, database=None, derandomize=EXAMPLES < 10, print_blob=False, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
STATUS = {
    "code": "compiled", "bootstrap": "here:9092", "topic_prefix": "credits", "topics": {}, "input": [],
    "rating": {"group": "g", "processes": 1, "behind": 0, "began": True},
    "loading": {"group": "g", "processes": 1, "behind": 0, "began": True},
    "delivering": {"group": "g", "processes": 0, "behind": 0, "began": False},
    "books": None, "endpoints": [], "checkpoints": [], "loaded": None, "problems": [],
}  # fmt: skip


def no_failure_of_the_server(_context: object, response: Any, case: Any) -> None:
    """503 is an answer of its own (no store, no state at hand, nothing decided in time); any other 5xx is a fault."""
    assert response.status_code < 500 or response.status_code == 503, (case.method, case.path, response.text[:500])


def checks() -> list[Any]:
    from schemathesis.specs.openapi import checks as openapi

    return [
        no_failure_of_the_server, openapi.status_code_conformance, openapi.content_type_conformance,
        openapi.response_headers_conformance, openapi.response_schema_conformance,
    ]  # fmt: skip


class Wsgi:
    """The app as schemathesis calls one; its requests run in the server's own loop."""

    def __init__(self, world: ServerWorld) -> None:
        self._world = world
        self.statuses: list[tuple[str, str, int]] = []

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        headers = {
            name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")
        }
        headers |= {"content-type": environ.get("CONTENT_TYPE", ""), "host": "localhost"}
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        target = environ["RAW_URI"].encode("ascii", "backslashreplace").decode()
        answer = self._world.ask(environ["REQUEST_METHOD"], target, body, headers=headers)
        self.statuses.append((environ["REQUEST_METHOD"], target, answer.status))
        start_response(f"{answer.status} -", list(answer.headers.items()))
        return [answer.body]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wsgi]:
    with (
        opened_reading_world(tmp_path_factory.mktemp("schemathesis")) as (world, _log),
        opened_access(world.pipeline, SecretKeys([b"s" * 32])) as access,
    ):
        world.parts.access = access
        assert world.parts.reads is not None
        world.parts.reads = replace(world.parts.reads, status=lambda: STATUS, public_prices=True)
        yield Wsgi(world)


@pytest.fixture(scope="module")
def schema(app: Wsgi) -> Any:
    import schemathesis

    return schemathesis.openapi.from_wsgi("/openapi.json", app, headers={"authorization": f"Bearer {OPERATOR}"})


@pytest.mark.parametrize("number", range(len(OPERATIONS)), ids=[f"{one.method} {one.path}" for one in OPERATIONS])
def test_every_operation_answers_as_described(schema: Any, number: int) -> None:
    from schemathesis import GenerationMode

    one = OPERATIONS[number]
    operation = schema.find_operation_by_id(operation_id(one.method, one.path))
    cases = [operation.as_strategy(GenerationMode.POSITIVE)]
    if "{account}" in one.path:
        cases.append(operation.as_strategy(GenerationMode.POSITIVE, path_parameters={"account": "acme"}))
    if one.parameters or one.body is not None:
        cases.append(operation.as_strategy(GenerationMode.NEGATIVE))
    for strategy in cases:

        @seed(number)
        @settings(QUIET, max_examples=max(1, EXAMPLES // len(cases)))
        @given(strategy)
        def ask(case: Any) -> None:
            case.call_and_validate(headers={"authorization": f"Bearer {OPERATOR}"}, checks=checks())

        ask()


def test_operations_follow_each_other_as_the_links_say(schema: Any) -> None:
    machine = schema.as_state_machine()

    class Linked(machine):  # type: ignore[misc, valid-type]
        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"headers": {"authorization": f"Bearer {OPERATOR}"}}

        def validate_response(self, response: Any, case: Any, **_options: Any) -> None:
            case.validate_response(response, checks=checks())

    Linked.run(settings=settings(QUIET, max_examples=EXAMPLES, stateful_step_count=8))
