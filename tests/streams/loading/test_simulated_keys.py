"""The simulated store keeps the rows that ClickHouse keeps: by the keys that the migrations give every table."""

from __future__ import annotations

import re

from sinks.migrate import migrations
from tests.streams.loading.loading_simulation import KEYS

TABLE = re.compile(
    r"CREATE TABLE IF NOT EXISTS (\w+_rows)\b.*?ENGINE = ReplacingMergeTree\(version\).*?ORDER BY \((.*?)\)"
    r"(?:\nSETTINGS .*)?$",
    re.DOTALL,
)


def test_the_keys_are_those_of_the_migrations() -> None:
    keys = {}
    for migration in migrations():
        for statement in migration.statements:
            if match := TABLE.match(statement):
                columns = re.sub(r"ifNull\((\w+), -1\)", r"\1", match[2])
                keys[match[1]] = tuple(columns.split(", "))
            elif dropped := re.match(r"DROP TABLE IF EXISTS (\w+)", statement):
                del keys[dropped[1]]
    assert keys == KEYS
