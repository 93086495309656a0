"""Asking ClickHouse, wherever it is: a server, the loader that holds the embedded one, or the data directory itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cli.errors import Failed
from cli.stores import has_data, opened_sink
from sinks.sink import SinkRejected, SinkUnavailable

if TYPE_CHECKING:
    from cli.config import Settings


def answer(settings: Settings, sql: str, output_format: str) -> bytes:
    """The result of one reading statement as text, in one of `sinks.formats.FORMATS`. Raises Failed.

    With the embedded store the loader is asked; where none runs, the data directory is opened for the moment.
    """
    if settings.store == "embedded":
        from sinks.http import remote_query

        url = settings.query_url or f"http://127.0.0.1:{settings.query_port}"
        try:
            return remote_query(url, sql, output_format)
        except SinkRejected as error:
            raise Failed(str(error)) from error
        except SinkUnavailable as error:
            if settings.query_url is not None or not has_data(settings):
                raise Failed(str(error)) from error
    with opened_sink(settings) as sink:
        return sink.query_text(sql, output_format)


def rows_of(settings: Settings, sql: str) -> list[dict[str, Any]]:
    """The result's rows by column name. Raises Failed."""
    return [json.loads(line) for line in answer(settings, sql, "JSONEachRow").splitlines()]


def known_rows(settings: Settings, sql: str) -> list[dict[str, Any]]:
    """The rows where ClickHouse can be asked now, else none: for what is good to know and not needed."""
    try:
        return rows_of(settings, sql)
    except Failed:
        return []


def literal(text: str) -> str:
    """A string in SQL, quoted."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
