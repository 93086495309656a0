"""Which operations of a company's own OpenAPI document are marked, and with what."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from application.errors import Misconfigured
from application.prices.openapi_marks import CREDITS, RATE_LIMITS, marked, read_document, written
from schemas.price_book import read_book

BOOK = read_book(
    """\
rate_limits:
  - {name: search, when: {endpoint: /v1/people*}, requests: 60, per: 1m, plans: {pro: 600}}
versions:
  - version: v1
    effective_from: 2020-01-01T00:00:00Z
    charges:
      - {charge: lookup, when: {endpoint: /v1/ip}, credits: 20, unique: {by: [ip], within: 24h}}
      - {charge: page, when: {endpoint: /v1/people*, channel: api}, per: results, credits: 2, plans: {pro: 1}}
      - {charge: mail, credit_type: email, when: {channel: js}, credits: 5}
  - version: v2
    effective_from: 2999-01-01T00:00:00Z
    charges:
      - {charge: lookup, when: {endpoint: /v1/ip}, credits: 25}
""",
    "book.yaml",
)
NOW = 1_790_000_000_000
DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Acme", "version": "1"},
    "servers": [{"url": "https://api.acme.example/v1"}],
    "paths": {
        "/ip": {"get": {"responses": {}}, "parameters": []},
        "/people/{id}": {"get": {"responses": {}}, "delete": {"responses": {}}},
        "/ping": {"get": {"responses": {}}},
    },
}
MAIL = {"charge": "mail", "credits": 5, "credit_type": "email", "per": "request", "when": {"channel": ["js"]}}


def test_operations_get_what_they_cost_and_their_limits() -> None:
    paths = marked(DOCUMENT, BOOK, NOW)["paths"]
    lookup = {"charge": "lookup", "credits": 20, "credit_type": "credit", "per": "request"}
    assert paths["/ip"]["get"][CREDITS] == [lookup | {"unique": {"by": ["ip"], "within": "24h"}}, MAIL]
    assert paths["/ip"]["get"][RATE_LIMITS] == []
    page = {"charge": "page", "credits": 2, "credit_type": "credit", "per": "results", "plans": {"pro": 1}}
    for method in ("get", "delete"):
        assert paths["/people/{id}"][method][CREDITS] == [page | {"when": {"channel": ["api"]}}, MAIL]
        assert paths["/people/{id}"][method][RATE_LIMITS] == [
            {"name": "search", "requests": 60, "window": "1m", "plans": {"pro": 600}}
        ]
    assert paths["/ping"]["get"][CREDITS] == [MAIL]


def test_only_what_is_named() -> None:
    paths = marked(DOCUMENT, BOOK, NOW, only_named=True)["paths"]
    assert [one["charge"] for one in paths["/ip"]["get"][CREDITS]] == ["lookup"]
    assert paths["/ping"]["get"] == {"responses": {}, CREDITS: [], RATE_LIMITS: []}


def test_the_version_in_force_counts_and_the_document_stays_as_it_was() -> None:
    before = json.dumps(DOCUMENT)
    (lookup,) = marked(DOCUMENT, BOOK, 32_503_680_000_000)["paths"]["/ip"]["get"][CREDITS]
    assert (lookup["credits"], json.dumps(DOCUMENT)) == (25, before)


def test_swaggers_base_path_counts() -> None:
    old = {"swagger": "2.0", "basePath": "/v1/", "paths": {"/ip": {"get": {}}}}
    assert marked(old, BOOK, NOW)["paths"]["/ip"]["get"][CREDITS][0]["charge"] == "lookup"


@pytest.mark.parametrize("document", [{}, {"openapi": "3.1.0"}, {"paths": {}}, {"openapi": "3.1.0", "paths": []}])
def test_what_is_no_document_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(Misconfigured, match="no OpenAPI document"):
        marked(document, BOOK, NOW)


def test_json_and_yaml_are_read_and_written_as_they_came(tmp_path: Path) -> None:
    for name, text in (("api.json", json.dumps(DOCUMENT)), ("api.yaml", yaml.safe_dump(DOCUMENT))):
        (tmp_path / name).write_text(text)
        document, is_json = read_document(str(tmp_path / name))
        again = written(document, as_json=is_json)
        assert (document, is_json) == (DOCUMENT, name.endswith("json"))
        assert (json.loads(again) if is_json else yaml.safe_load(again)) == DOCUMENT
    for name, text in (("bad.json", "{"), ("bad.yaml", "a: [b"), ("list.yaml", "- 1")):
        (tmp_path / name).write_text(text)
        with pytest.raises(Misconfigured, match=name):
            read_document(str(tmp_path / name))
