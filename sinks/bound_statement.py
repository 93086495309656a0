"""A statement with its parameters as one JSON text, for the way to the process that holds the store."""

from __future__ import annotations

import json

from sinks.parameters import Parameters
from sinks.sink import SinkRejected


def written_statement(sql: str, parameters: Parameters) -> bytes:
    """The JSON text: ASCII, whatever the values hold."""
    values = {name: value if isinstance(value, (str, int)) else list(value) for name, value in parameters.items()}
    return json.dumps({"statement": sql, "parameters": values}).encode()


def read_statement(text: bytes) -> tuple[str, Parameters]:
    """The statement and its parameters. Raises SinkRejected for any other text."""
    try:
        body = json.loads(text)
        sql, parameters = body["statement"], body["parameters"]
        is_right = isinstance(sql, str) and all(map(_is_parameter, parameters.values()))
        text.decode()
        json.dumps(body, ensure_ascii=False).encode()  # half a character is no text
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        is_right = False
    if not is_right:
        raise SinkRejected('send {"statement": text, "parameters": {name: text, whole number or list of either}}')
    return sql, parameters


def _is_parameter(value: object) -> bool:
    if isinstance(value, list):
        return all(isinstance(item, str) for item in value) or all(_is_whole(item) for item in value)
    return isinstance(value, str) or _is_whole(value)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
