"""Asking ClickHouse, wherever it is: a server, the loader that holds the embedded one, or the data directory itself."""

from __future__ import annotations

import json
from typing import Any, Protocol

from application.clickhouse.opening import has_data, opened_sink, store_id_of
from application.configuration.settings import Settings
from application.errors import ErrorCode, Failed, Misconfigured
from sinks.http import StoreIdentity, remote_query
from sinks.sink import SinkRejected, SinkUnavailable

SECONDS = 90.0
"""How long an answer may take unless the caller says otherwise."""
_GOOD_TO_KNOW_SECONDS = 5.0


def answer(settings: Settings, sql: str, output_format: str, seconds: float = SECONDS) -> bytes:
    """The result of one reading statement as text, in one of `sinks.formats.FORMATS`. Raises Failed, Misconfigured.

    With the embedded store the loader is asked; where none runs, the data directory is opened for the moment.
    """
    if any("\ud800" <= character <= "\udfff" for character in sql):
        raise Misconfigured(
            "what was typed holds bytes that are not UTF-8: nothing in ClickHouse can be compared with it"
        )
    if settings.store == "embedded":
        try:
            return ask_loader(settings, sql, output_format, seconds)
        except SinkRejected as error:
            raise Failed(str(error)) from error
        except SinkUnavailable as error:
            if settings.query_url is not None or not has_data(settings):
                raise Failed(str(error), ErrorCode.UNAVAILABLE) from error
    with opened_sink(settings) as sink:
        return sink.query_text(sql, output_format)


def loader_url(settings: Settings) -> str:
    """Where the loader answers SQL."""
    return settings.query_url or f"http://127.0.0.1:{settings.query_port}"


def ask_loader(settings: Settings, sql: str, output_format: str, seconds: float = SECONDS) -> bytes:
    """The answer of the loader that holds the embedded store. Raises SinkUnavailable, also for another pipeline's."""
    return remote_query(
        loader_url(settings), sql, output_format, timeout=seconds, is_ours=lambda identity: foreign(settings, identity)
    )


def foreign(settings: Settings, identity: StoreIdentity | None) -> str | None:
    """Why what answers is not this configuration's loader; None where it is.

    At query_port it has to hold the data directory that is configured here. An address that somebody has set
    (query_url) may be of another directory; its topics have to be ours.
    """
    if identity is None:
        return (
            "what answers here is no loader of this version of creditmeter: restart it, or set query_port or query_url"
        )
    if identity.topic_prefix != settings.topic_prefix:
        return (
            f"the loader that answers here is another pipeline's (topics {identity.topic_prefix}.*, data in "
            f"{identity.folder}); here topic_prefix is {settings.topic_prefix}"
        )
    ours = store_id_of(settings)
    if settings.query_url is None and identity.store_id != ours:
        place = (settings.data_dir / "clickhouse").absolute()
        return (
            f"the loader that answers here holds {identity.folder}, not {place}"
            f"{'' if ours else ', where no data are'}: run this where its configuration is (data_dir), set query_port "
            "to your own loader's, or query_url to this address if you mean it"
        )
    return None


class SqlReader(Protocol):
    """Answers reading SQL. Use cases know nothing else of ClickHouse."""

    def answer(self, sql: str, output_format: str, seconds: float = SECONDS) -> bytes:
        """The result of one reading statement, in one of `sinks.formats.FORMATS`. Raises Failed, Misconfigured."""
        ...


class ConfiguredSql:
    """The ClickHouse that the configuration names."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def answer(self, sql: str, output_format: str, seconds: float = SECONDS) -> bytes:
        return answer(self._settings, sql, output_format, seconds)


def rows_of(sql_reader: SqlReader, sql: str, seconds: float = SECONDS) -> list[dict[str, Any]]:
    """The result's rows by column name. Raises Failed."""
    return [json.loads(line) for line in sql_reader.answer(sql, "JSONEachRow", seconds).splitlines()]


def rows_or_empty(sql_reader: SqlReader, sql: str) -> list[dict[str, Any]]:
    """The rows, or none where ClickHouse does not answer: for information that is not needed."""
    try:
        return rows_of(sql_reader, sql, _GOOD_TO_KNOW_SECONDS)
    except Failed:
        return []


def literal(text: str) -> str:
    """A string in SQL, quoted."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
