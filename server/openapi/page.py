"""The document as a page for people: plain HTML, made here, without scripts and without anything of other hosts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from server.openapi.document import ROLE
from server.openapi.schemas import Schema
from server.openapi.words import described_type

STYLE_PATH = "/docs/style.css"
STYLE = """\
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { margin: 0 auto; padding: 1rem; max-width: 64rem; overflow-wrap: anywhere; }
nav ul { columns: 18rem; padding-left: 1.2rem; }
code { font-family: ui-monospace, monospace; font-size: 0.9em; }
article { border-top: 1px solid #8888; padding: 0.5rem 0 1rem; }
h3 code { font-size: 1rem; }
.role { border: 1px solid #8888; border-radius: 0.3rem; padding: 0 0.4rem; font-size: 0.85rem; }
table { border-collapse: collapse; width: 100%; margin: 0.5rem 0; }
caption { text-align: left; font-weight: 600; padding: 0.4rem 0; }
th, td { text-align: left; vertical-align: top; padding: 0.25rem 0.6rem 0.25rem 0; border-bottom: 1px solid #8884; }
@media (max-width: 36rem) {
  th, td { display: block; border: 0; }
  tr { border-bottom: 1px solid #8884; display: block; }
}
"""
_METHODS = ("get", "post", "put", "delete")


def page_of(document: Mapping[str, Any]) -> str:
    """The whole page."""
    operations = list(_operations(document))
    parts = [
        _head(document["info"]),
        "<nav aria-label='Operations'><ul>",
        *(f'<li><a href="#{_text(one["operationId"])}">{_text(one["summary"])}</a></li>' for _, _, one in operations),
        "</ul></nav><main><h2>Operations</h2>",
        *(_operation(method, path, one, document) for method, path, one in operations),
        "<h2>Types</h2>",
        *(_type(name, schema) for name, schema in document["components"]["schemas"].items()),
        "<h2>Problems</h2><table><caption>Every refusal is application/problem+json</caption>",
        *(_problem(slug, response) for slug, response in document["components"]["responses"].items()),
        "</table></main></body></html>",
    ]
    return "\n".join(parts)


def _head(info: Mapping[str, Any]) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>API of {_text(info["title"])}</title><link rel="stylesheet" href="{STYLE_PATH}"></head>'
        f"<body><header><h1>API of {_text(info['title'])}</h1><p>{_text(info['description'])}</p>"
        '<p>For programs: <a href="/openapi.json">openapi.json</a> (OpenAPI 3.1). A key goes into '
        "<code>Authorization: Bearer KEY</code> or <code>x-api-key: KEY</code>.</p></header>"
    )


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method in _METHODS:
            if method in methods:
                yield method.upper(), path, methods[method]


def _operation(method: str, path: str, operation: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    name, summary = _text(operation["operationId"]), _text(operation["summary"])
    rows = [f"<article id='{name}'><h3>{summary}</h3>"]
    rows.append(f"<p><code>{method} {_text(path)}</code> <span class='role'>{_text(operation[ROLE])}</span></p>")
    rows.append(f"<p>{_text(operation['description'])}</p>")
    if operation["parameters"]:
        rows += ["<table><caption>Parameters</caption>", *map(_parameter, operation["parameters"]), "</table>"]
    body = operation.get("requestBody", {}).get("content", {})
    if body:
        rows.append("<table><caption>Body</caption>")
        rows += [
            f"<tr><th>{_text(media)}</th><td>{_type_words(content['schema'])}</td></tr>"
            for media, content in body.items()
        ]
        rows.append("</table>")
    rows.append("<table><caption>Answers</caption>")
    rows += [_answer(status, response, document) for status, response in operation["responses"].items()]
    return "\n".join([*rows, "</table></article>"])


def _parameter(one: Mapping[str, Any]) -> str:
    return (
        f"<tr><th><code>{_text(one['name'])}</code></th><td>{_text(one['in'])}</td>"
        f"<td>{_type_words(one['schema'])}</td><td>{_text(one['description'])}</td></tr>"
    )


def _answer(status: str, response: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    if "$ref" in response:
        response = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
        return f"<tr><th>{status}</th><td></td><td>{_text(response['description'])}</td></tr>"
    contents = response.get("content", {})
    kinds = ", ".join(
        _type_words(content["schema"]) for media, content in contents.items() if media == "application/json"
    )
    return f"<tr><th>{status}</th><td>{kinds}</td><td>{_text(response['description'])}</td></tr>"


def _type(name: str, schema: Schema) -> str:
    rows = [f"<article id='type-{_text(name)}'><h3><code>{_text(name)}</code></h3>"]
    if "description" in schema:
        rows.append(f"<p>{_text(schema['description'])}</p>")
    properties = schema.get("properties", {})
    if not properties:
        return "\n".join([*rows, f"<p>{_type_words(schema)}</p></article>"])
    rows.append("<table>")
    for member, inner in properties.items():
        needed = "" if member in schema.get("required", ()) else " (may be left out)"
        rows.append(
            f"<tr><th><code>{_text(member)}</code></th><td>{_type_words(inner)}{needed}</td>"
            f"<td>{_text(inner.get('description', ''))}</td></tr>"
        )
    return "\n".join([*rows, "</table></article>"])


def _type_words(schema: Schema) -> str:
    """The type, names of others linked."""
    words = []
    for word, reference in described_type(schema):
        words.append(f'<a href="#type-{_text(word)}">{_text(word)}</a>' if reference else _text(word))
    return "".join(words)


def _problem(slug: str, response: Mapping[str, Any]) -> str:
    return f"<tr><th><code>/problems/{_text(slug)}</code></th><td>{_text(response['description'])}</td></tr>"


def _text(value: object) -> str:
    return escape(value if isinstance(value, str) else json.dumps(value))
