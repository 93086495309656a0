"""Values reach a statement as values: whatever they hold, they are compared and never run."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sinks.embedded import EmbeddedSink
from sinks.server import ServerSink
from sinks.sink import Sink, SinkRejected

pytestmark = pytest.mark.slow

TEXTS = [
    "plain", "a'b", 'a"b', "a`b", "back\\slash", "tab\t", "feed\n", "return\r", "nul\0", "\b\f\v\a", "\\N", "\\t", "",
    "NULL", "{other:String}", "%(name)s", "🦊 é", "'; DROP TABLE billed_rows; --", "x' OR '1'='1", "-- /* */ #", "','",
    "[1]",
]  # fmt: skip


@pytest.fixture(params=["embedded", "current"])
def bound(request: pytest.FixtureRequest) -> Sink:
    """A server of 18.16 knows no parameters."""
    chosen: Sink = request.getfixturevalue(f"{request.param}_of_module")
    return chosen


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_comes_back_as_it_is(bound: Sink, text: str) -> None:
    sql = (
        "SELECT {text:String} AS text, {texts:Array(String)} AS texts, {text:String} = {texts:Array(String)}[1] AS same"
    )
    result = bound.query(sql, parameters={"text": text, "texts": [text, *TEXTS]})
    assert result.rows == [(text, [text, *TEXTS], 1)]


def test_numbers_and_lists(bound: Sink) -> None:
    sql = "SELECT {least:Int64}, {most:Int64}, {numbers:Array(Int64)}, {none:Array(String)}"
    given_values = {"least": -(2**63), "most": 2**63 - 1, "numbers": [3, -1], "none": []}
    assert bound.query(sql, parameters=given_values).rows == [(-(2**63), 2**63 - 1, [3, -1], [])]
    assert bound.query_text("SELECT {n:Int64} AS n", "CSV", parameters={"n": 7}) == b"7\n"


def test_a_placeholder_without_a_value_or_with_one_of_another_type_is_refused(bound: Sink) -> None:
    with pytest.raises(SinkRejected):
        bound.query("SELECT {missing:String}")
    with pytest.raises(SinkRejected):
        bound.query("SELECT {number:Int64}", parameters={"number": "1 OR 1=1"})


@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=5))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_texts_come_back(embedded_of_module: EmbeddedSink, current_of_module: ServerSink, texts: list[str]) -> None:
    for sink in (embedded_of_module, current_of_module):
        assert sink.query("SELECT {texts:Array(String)} AS texts", parameters={"texts": texts}).rows == [(texts,)]
