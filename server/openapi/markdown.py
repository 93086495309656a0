"""The parts of docs/api.md that are made from the OpenAPI document: every operation, and every type of problem.

They stand between two comments each; everything else in the page is written by hand. `python -m server.openapi` makes
them again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from server.api.problems import TYPE_PREFIX, ProblemType
from server.openapi.document import ROLE
from server.openapi.words import type_text

_BEGIN, _END = "<!-- {name}: made by python -m server.openapi -->", "<!-- end of {name} -->"
_METHODS = ("get", "post", "put", "delete")


def renewed(page: str, document: Mapping[str, Any]) -> str:
    """The page with its made parts as the document has them. Raises ValueError where a part's comments are missing."""
    parts = {"operations": "\n".join(_operations(document)), "problems": "\n".join(_problems())}
    for name, text in parts.items():
        begin, end = _BEGIN.format(name=name), _END.format(name=name)
        before, opening, rest = page.partition(begin)
        _, closing, after = rest.partition(end)
        if not opening or not closing:
            raise ValueError(f"the page has no part {name!r}: {begin} … {end}")
        page = f"{before}{begin}\n\n{text}\n\n{end}{after}"
    return page


def _operations(document: Mapping[str, Any]) -> Iterator[str]:
    by_tag: dict[str, list[str]] = {tag["name"]: [] for tag in document["tags"]}
    for path, methods in document["paths"].items():
        for method in _METHODS:
            if method in methods:
                by_tag[methods[method]["tags"][0]] += _operation(method.upper(), path, methods[method])
    for tag, lines in by_tag.items():
        yield f"### {tag.capitalize()}\n"
        yield "| operation | role | takes | answers |\n|---|---|---|---|"
        yield from lines
        yield ""


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    answers = [_answer(status, one) for status, one in operation["responses"].items() if status < "300"]
    own = sorted({status for status in operation["responses"] if status >= "300"} - _USUAL)
    refusals = f"; also {', '.join(own)}" if own else ""
    cells = (
        f"`{method} {path}`<br>{operation['summary']}",
        operation[ROLE],
        "; ".join(_taken(operation)) or "nothing",
        "; ".join(answers) + refusals,
    )
    yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


_USUAL = {"400", "401", "403", "404", "408", "413", "415", "422", "429", "500", "503"}


def _taken(operation: Mapping[str, Any]) -> Iterator[str]:
    for where, word in (("query", "parameters"), ("header", "headers")):
        names = [f"`{one['name']}`" for one in operation["parameters"] if one["in"] == where]
        if names:
            yield f"{word} {', '.join(names)}"
    body = operation.get("requestBody", {}).get("content", {})
    if body:
        yield f"body {', '.join(dict.fromkeys(type_text(content['schema']) for content in body.values()))}"


def _answer(status: str, response: Mapping[str, Any]) -> str:
    kinds = [
        type_text(content["schema"]) if media == "application/json" else media
        for media, content in response["content"].items()
    ]
    return f"{status} {', '.join(kinds)}"


def _problems() -> Iterator[str]:
    yield "| type | status | what it says | what to do |\n|---|---|---|---|"
    for kind in ProblemType:
        yield f"| `{TYPE_PREFIX}{kind.slug}` | {kind.status} | {kind.title} | {kind.advice} |"
