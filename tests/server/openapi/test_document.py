"""The OpenAPI document: valid, whole, and about the operations as they are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from application.access.identity import NEEDS
from application.in_memory import in_memory_pipeline
from metering.validation import EVENT_FIELDS
from server.api.table import OPERATIONS
from server.openapi.document import ROLE, openapi_document
from tests.server.api.reading_world import opened_reading_world
from tests.server.keys import OPERATOR
from tests.server.world import ServerWorld, opened_world

pytestmark = pytest.mark.slow

DOCUMENT = openapi_document(OPERATIONS)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerWorld]:
    with opened_world(in_memory_pipeline(tmp_path_factory.mktemp("docs"))) as opened:
        yield opened


def test_it_is_valid_and_served(world: ServerWorld) -> None:
    answer = world.ask("GET", "/openapi.json")
    assert (answer.status, answer.json) == (200, DOCUMENT)
    assert [str(error) for error in OpenAPIV31SpecValidator(answer.json).iter_errors()] == []


def test_every_operation_of_the_table_stands_in_it_with_its_role() -> None:
    described = {
        (method.upper(), path): one for path, methods in DOCUMENT["paths"].items() for method, one in methods.items()
    }
    assert described.keys() == {(one.method, one.path) for one in OPERATIONS}
    for one in OPERATIONS:
        shown = described[one.method, one.path]
        role = "anyone" if one.action is None else NEEDS[one.action].value
        assert (shown[ROLE], bool(shown["security"])) == (role, one.action is not None)
        assert {given["name"] for given in shown["parameters"] if given["in"] == "path"} == set(
            re.findall(r"{(\w+)}", one.path)
        )
    ids = [one["operationId"] for one in described.values()]
    assert len(set(ids)) == len(ids)


def test_every_operation_says_what_it_answers() -> None:
    anything = [f"{one.method} {one.path}" for one in OPERATIONS if one.parameters is None]
    assert anything == [], "parameters=(), body and answers make the OpenAPI document; see server/api/contract.py"


def test_an_event_has_the_fields_that_are_stored() -> None:
    event = DOCUMENT["components"]["schemas"]["RequestEvent"]
    assert tuple(event["properties"]) == EVENT_FIELDS
    assert all(field["description"] for field in event["properties"].values())


@pytest.mark.parametrize(
    "operation", [one for one in OPERATIONS if one.parameters is not None], ids=lambda one: f"{one.method} {one.path}"
)
def test_a_parameter_that_is_not_described_is_refused(world: ServerWorld, operation: object) -> None:
    method, path = operation.method, re.sub(r"{\w+}", "x", operation.path)
    answer = world.ask(method, f"{path}?colour=red", key=OPERATOR)
    assert (answer.status, [error["pointer"] for error in answer.json["errors"]]) == (400, ["colour"])


def test_where_prices_are_public_operations_say_what_they_cost(tmp_path: Path) -> None:
    with opened_reading_world(tmp_path, load_usage=False) as (priced, _log):
        assert priced.parts.reads is not None
        assert "x-credits" not in priced.ask("GET", "/openapi.json").body.decode()
        priced.parts.reads = replace(priced.parts.reads, public_prices=True)
        paths = priced.ask("GET", "/openapi.json").json["paths"]
        assert {tuple(one["x-credits"]) for methods in paths.values() for one in methods.values()} == {()}


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in {"href", "src"}]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        assert not [name for name, _ in attrs if name.startswith("on") or name == "style"]


def test_the_page_has_every_operation_no_script_and_nothing_of_other_hosts(world: ServerWorld) -> None:
    answer = world.ask("GET", "/docs")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    page = _Page()
    page.feed(answer.body.decode())
    assert not {"script", "style", "iframe"} & set(page.tags)
    assert {one["operationId"] for methods in DOCUMENT["paths"].values() for one in methods.values()} <= set(page.ids)
    inside = [address[1:] for address in page.addresses if address.startswith("#")]
    assert set(inside) <= set(page.ids)
    others = {address for address in page.addresses if not address.startswith("#")}
    assert others == {"/openapi.json", "/docs/style.css"}
    assert all(world.ask("GET", address).status == 200 for address in others)


def test_the_page_shows_markup_as_text(world: ServerWorld) -> None:
    from server.openapi.page import page_of

    document = {**DOCUMENT, "info": {**DOCUMENT["info"], "title": "<script>alert(1)</script>"}}
    assert "<script>" not in page_of(document)
