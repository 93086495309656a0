"""ClickHouse as customers' reads ask it: bound parameters, limits of their own, and turns apart from analysts'."""

from __future__ import annotations

import json
from typing import Any, Protocol

from application.clickhouse.asking import foreign, loader_url
from application.clickhouse.opening import open_sink
from application.configuration.settings import Settings
from application.errors import ErrorCode, Failed
from sinks.errors import TOOK_TOO_MUCH
from sinks.http import remote_query
from sinks.parameters import Parameters
from sinks.sink import CUSTOMER_LIMITS, Limits, Sink, SinkRejected, SinkUnavailable
from sinks.turns import Turns, customers_turns

Row = dict[str, Any]
"""A row of an answer by column name."""
_TIMEOUT = 15.0
"""Seconds that a loader's answer may take, its wait for a turn included."""


class TooMuch(Failed):
    """The answer would take more than a customer's statement may: ask for a shorter time, or filter."""

    code = ErrorCode.INVALID


class UsageStore(Protocol):
    """Answers the statements of this package. `{name:Type}` in them are bound to the parameters."""

    def rows(self, sql: str, parameters: Parameters) -> list[Row]:
        """The result's rows. Raises TooMuch; Failed with UNAVAILABLE where the store cannot answer now."""
        ...


class SinkUsage:
    """A sink in this process, or a server by its native protocol."""

    def __init__(self, sink: Sink, limits: Limits = CUSTOMER_LIMITS) -> None:
        self._sink = sink
        self._turns: Turns = customers_turns(limits)

    def rows(self, sql: str, parameters: Parameters) -> list[Row]:
        if not self._turns.take():
            raise Failed("too many reads at once: ask again later", ErrorCode.UNAVAILABLE)
        try:
            text = self._sink.query_text(sql, "JSONEachRow", limits=self._turns.limits, parameters=parameters)
        except (SinkRejected, SinkUnavailable) as error:
            raise _failed(error) from error
        finally:
            self._turns.release()
        return _rows(text)


class LoaderUsage:
    """The embedded store, by way of the loader that holds it. Raises Failed where another pipeline's answers."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def rows(self, sql: str, parameters: Parameters) -> list[Row]:
        settings = self._settings
        try:
            text = remote_query(
                loader_url(settings), sql, "JSONEachRow", timeout=_TIMEOUT, parameters=parameters,
                is_ours=lambda identity: foreign(settings, identity),
            )  # fmt: skip
        except (SinkRejected, SinkUnavailable) as error:
            raise _failed(error) from error
        return _rows(text)


def configured_usage(settings: Settings) -> UsageStore:
    """The store that the configuration names; a server is connected to when it is first asked."""
    return LoaderUsage(settings) if settings.store == "embedded" else SinkUsage(open_sink(settings))


def _rows(text: bytes) -> list[Row]:
    """Read as one list: it takes two thirds of the time of as many calls."""
    rows: list[Row] = json.loads(b"[%b]" % b",".join(text.splitlines()))
    return rows


def _failed(error: SinkRejected | SinkUnavailable) -> Failed:
    if isinstance(error, SinkUnavailable):
        return Failed("ClickHouse cannot answer now: try again later", ErrorCode.UNAVAILABLE)
    if str(error).startswith(TOOK_TOO_MUCH):
        return TooMuch("the answer takes too much: ask for a shorter time, or for less of it")
    return Failed(f"ClickHouse refused a statement: {error}")
