"""Marks the operations of an OpenAPI document with what a request to them costs, and with their rate limits.

`x-credits` lists the charges that may apply, `x-rate-limits` the limits; both are empty where there are none. An
endpoint of the price book stands for a path with or without the base path of the document's servers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from application.errors import Misconfigured
from application.wording import shown_duration
from metering.book import Book, Charge, RateLimit, fits

CREDITS, RATE_LIMITS = "x-credits", "x-rate-limits"
_METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})
_ENDPOINT = "endpoint"


def marked(document: Mapping[str, Any], book: Book, at: int, *, only_named: bool = False) -> dict[str, Any]:
    """A copy of the document with marks, by the version in force at `at` (ms).

    `only_named`: only charges and limits that name the endpoint count, not those that are for every endpoint. Raises
    Misconfigured for what is no OpenAPI document.
    """
    paths = document.get("paths")
    if not isinstance(paths, dict) or not ({"openapi", "swagger"} & document.keys()):
        raise Misconfigured("this is no OpenAPI document: it has no `openapi`, or no `paths`")
    shown = deepcopy(dict(document))
    version = book.version_for(at, None)
    charges = () if version is None else version.charges
    for path, item in shown["paths"].items():
        if not isinstance(item, dict):
            continue
        endpoints = [base + path for base in _bases(document, item)]
        credits_ = [_credits(charge) for charge in charges if _is_for(charge.when, endpoints, only_named=only_named)]
        limits = [_limit(one) for one in book.rate_limits if _is_for(one.when, endpoints, only_named=only_named)]
        for method in _METHODS & item.keys():
            if isinstance(item[method], dict):
                item[method] |= {CREDITS: credits_, RATE_LIMITS: limits}
    return shown


def read_document(path: str) -> tuple[dict[str, Any], bool]:
    """A document of JSON or YAML, and whether it is JSON. Raises Misconfigured."""
    try:
        text = Path(path).read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{path}: cannot be read as text: {error}") from error
    is_json = text.lstrip().startswith("{")
    try:
        document = json.loads(text) if is_json else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise Misconfigured(f"{path}: is neither JSON nor YAML: {error}") from error
    if not isinstance(document, dict):
        raise Misconfigured(f"{path}: this is no OpenAPI document: it is no object")
    return document, is_json


def written(document: Mapping[str, Any], *, as_json: bool) -> str:
    """The document as text, in the order that it has."""
    if as_json:
        return json.dumps(document, indent=2, ensure_ascii=False)
    return str(yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True, width=120)).rstrip("\n")


def _bases(document: Mapping[str, Any], item: Mapping[str, Any]) -> Iterator[str]:
    """What may stand before a path: nothing, the base paths of servers (OpenAPI 3), or the base path (Swagger 2)."""
    servers = [*_servers(item), *_servers(document)]
    urls = [server.get("url") for server in servers if isinstance(server, dict)]
    bases = [urlsplit(url).path.rstrip("/") for url in urls if isinstance(url, str)]
    base = document.get("basePath")
    bases += [base.rstrip("/")] if isinstance(base, str) else []
    yield from dict.fromkeys(["", *bases])


def _servers(part: Mapping[str, Any]) -> Sequence[Any]:
    servers = part.get("servers")
    return servers if isinstance(servers, list) else ()


def _is_for(when: Mapping[str, tuple[str, ...]], endpoints: Sequence[str], *, only_named: bool) -> bool:
    wanted = when.get(_ENDPOINT)
    if wanted is None:
        return not only_named
    return any(fits(endpoint, wanted) for endpoint in endpoints)


def _credits(charge: Charge) -> dict[str, Any]:
    unique = charge.unique
    shown: dict[str, Any] = {
        "charge": charge.charge, "credits": charge.credits, "credit_type": charge.credit_type,
        "per": charge.per or "request",
    }  # fmt: skip
    if charge.plans:
        shown["plans"] = dict(charge.plans)
    if unique is not None:
        within = shown_duration(unique.window.ms) if unique.window.kind == "rolling" else unique.window.kind
        shown["unique"] = {"by": list(unique.by), "within": within}
    return shown | _other_conditions(charge.when)


def _limit(limit: RateLimit) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": limit.name, "requests": limit.requests, "window": shown_duration(limit.per)}
    if limit.plans:
        shown["plans"] = dict(limit.plans)
    return shown | _other_conditions(limit.when)


def _other_conditions(when: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    others = {name: list(wanted) for name, wanted in when.items() if name != _ENDPOINT}
    return {"when": others} if others else {}
