"""The formats in docs/sending.md are read as it says, by their names and without."""

import re
from pathlib import Path

import pytest

from application.input.file_events import EventMapping, log_commands
from application.input.lines import Line
from application.input.log_formats import LOG_FORMATS
from application.input.ndjson import InputCommand

DOCUMENT = Path(__file__).parents[3] / "docs" / "sending.md"
ROWS = re.findall(r"^\| `([a-z-]+)` \| `(.+?)`(?: \(.*\))? \|$", DOCUMENT.read_text(), re.MULTILINE)


def test_every_format_is_documented() -> None:
    assert {name for name, _ in ROWS} == LOG_FORMATS.keys() - {"access-log"}


@pytest.mark.parametrize(("name", "line"), ROWS)
def test_an_example_is_read(name: str, line: str) -> None:
    for log_format in (LOG_FORMATS[name], LOG_FORMATS["access-log"]):
        mapping = EventMapping("acme", None, "web", None)
        (item,) = log_commands(iter([Line(1, line.encode())]), log_format, mapping, last_line_complete=False)
        assert isinstance(item, InputCommand), item
        event = item.record
        assert (event["ip"], event["endpoint"], event["outcome"]) == ("203.0.113.7", "/v1/a", "processed")
        assert event["occurred_at"] // 1_000 == 1_795_600_800
        assert event["attributes"]["bytes"] == "12"
