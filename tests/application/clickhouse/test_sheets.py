"""What a spreadsheet would take for a formula, and what it must go on taking for a number."""

from __future__ import annotations

import csv
import io

import pytest

from application.clickhouse.sheets import without_formulas
from sinks.embedded import EmbeddedSink
from sinks.formats import as_text
from sinks.sink import Sink
from tests.sinks.conftest import embedded_of_module as embedded_of_module  # noqa: PLC0414 - a fixture


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (b"\"=cmd|' /C calc'!A0\"", b"\"'=cmd|' /C calc'!A0\""),
        (b'"+1+1"', b'"\'+1+1"'),
        (b'"-2+3"', b'"\'-2+3"'),
        (b'"@SUM(A1)"', b'"\'@SUM(A1)"'),
        (b'"\t=1"', b'"\'\t=1"'),
        (b'"\r=1"', b'"\'\r=1"'),
        (b'"a=1"', b'"a=1"'),
        (b'"a,""=1"""', b'"a,""=1"""'),
        (b'"a\n=1"', b'"a\n=1"'),
        (b'""""', b'""""'),
        (b'""', b'""'),
        (b"-5", b"-5"),
        (b"-inf", b"-inf"),
        (b"\\N", b"\\N"),
    ],
)
def test_cells(cell: bytes, expected: bytes) -> None:
    row = b'"x",' + cell + b"," + cell + b",1\n"
    assert without_formulas(row * 2) == (b'"x",' + expected + b"," + expected + b",1\n") * 2


VALUES = """
SELECT '=1+1' AS `=name`, -5 AS n, toDecimal64('-1.5', 2) AS d, -0.5 AS f, toNullable('@z') AS z, NULL AS none,
    toFixedString('=x', 2) AS fixed, toDate('2026-01-02') AS day, CAST('+x' AS LowCardinality(String)) AS low,
    ['=a'] AS list, toInt64(-9223372036854775808) AS least
"""


def test_every_kind_of_value_in_both_stores(embedded_of_module: EmbeddedSink) -> None:
    sink: Sink = embedded_of_module
    text = sink.query_text(VALUES, "CSVWithNames")
    assert (
        as_text(sink.query(VALUES), "CSVWithNames").split(b"\n")[1].split(b",")[:9]
        == text.split(b"\n")[1].split(b",")[:9]
    )
    names, cells = csv.reader(io.StringIO(without_formulas(text).decode()))
    assert names[0] == "'=name"
    assert cells == [
        "'=1+1", "-5", "-1.5", "-0.5", "'@z", "\\N", "'=x", "2026-01-02", "'+x", "['=a']", "-9223372036854775808",
    ]  # fmt: skip
