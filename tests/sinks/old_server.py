"""Debian's ClickHouse 18.16 for tests: it lacks types that the schema uses, and only here are they rewritten for it."""

from __future__ import annotations

import re

from sinks.parameters import Parameters
from sinks.server import ServerSink
from sinks.sink import DEFAULT_LIMITS, NONE, Limits, Result

_REWRITES = (
    (r"toDateTime64\('2299-12-31 23:59:59\.999', 3, 'UTC'\)", "toInt64(10413791999999)"),
    (r"toDateTime64\('[^']*', 3, 'UTC'\)", "toInt64(0)"),
    (r"DateTime64\(3, 'UTC'\)", "Int64"),
    (r"now64\(3\)", "(toInt64(toUnixTimestamp(now())) * 1000)"),
    (r"Date32", "Date"),
    (r"LowCardinality\(((?:[^()]|\([^()]*\))*)\)", r"\1"),
    (r"mapFromArrays\(", "arrayMap((k, v) -> (k, v), "),
    (r"^DROP VIEW", "DROP TABLE"),
    # It cannot send a null out of an array of tuples: the view `refunds` gives '' there.
    (
        r"groupArrayIf\(\(source_offset, actor_, feature_, action_, endpoint_\), is_refund = 0\)",
        (
            "groupArrayIf((source_offset, ifNull(actor_, ''), ifNull(feature_, ''), ifNull(action_, ''), "
            "ifNull(endpoint_, '')), is_refund = 0)"
        ),
    ),
    (r"ADD COLUMN IF NOT EXISTS", "ADD COLUMN"),
    (r"^ALTER TABLE \w+ (MODIFY SETTING|ADD INDEX|MATERIALIZE INDEX) .*", "SELECT 1"),
    (r"(?:to|from)UnixTimestamp64Milli\((\w+)\)", r"\1"),
    (r"toJSONString\((\w+_types)\)", r"""replaceAll(toString(\1), '\\'', '"')"""),
    (r"toJSONString\((\w+)\)", r"""concat('"', replaceAll(replaceAll(\1, '\\\\', '\\\\\\\\'), '"', '\\\\"'), '"')"""),
)


def rewritten(ddl: str) -> str:
    """The statement with what 18.16 lacks replaced: times are ms as Int64, maps are lists of pairs."""
    for pattern, replacement in _REWRITES:
        ddl = re.sub(pattern, replacement, ddl)
    return ddl


class OldServerSink(ServerSink):
    """A ServerSink for 18.16."""

    least_version = (18, 16)

    def execute(self, ddl: str) -> None:
        super().execute(rewritten(ddl))

    def query(
        self, sql: str, *, readonly: bool = True, limits: Limits = DEFAULT_LIMITS, parameters: Parameters = NONE
    ) -> Result:
        """It knows no placeholders, so that texts and numbers stand in the statement itself."""
        for name, value in parameters.items():
            sql = sql.replace(f"{{{name}:Int64}}", str(value))
            text = str(value).replace("\\", "\\\\").replace("'", "\\'")
            sql = sql.replace(f"{{{name}:String}}", f"'{text}'")
        return super().query(rewritten(sql), readonly=readonly, limits=limits)
