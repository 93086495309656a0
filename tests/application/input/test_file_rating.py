"""Rating a file in memory: its outputs, in whatever pieces it is rated, and what it takes of time and memory."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from application.input import file_rating
from application.input.file_rating import Rater, to_line
from application.input.lines import read_lines
from application.input.ndjson import CommandReader
from metering.records import DeadLetterReason
from schemas.price_book import BookFileError
from tests.command import BOOK

DAY = 86_400_000
JANUARY_2 = 1_767_312_000_000


def event(event_id: str, **fields: Any) -> dict[str, Any]:
    plain = {
        "account_id": "a",
        "occurred_at": JANUARY_2,
        "endpoint": "/v1/ip-lookup",
        "channel": "api",
        "ip": "1.1.1.1",
    }
    return {"event_id": event_id} | plain | fields


def rated(*commands: dict[str, Any]) -> list[dict[str, Any]]:
    lines = b"".join(map(to_line, commands))
    return list(Rater(BOOK).rate(CommandReader(read_lines(io.BytesIO(lines)))))


@pytest.mark.slow
def test_memory_is_flat_as_the_file_grows(tmp_path: Path, book: Path) -> None:
    """Five times the file of the same accounts takes no more memory: what is forgotten is swept."""
    short, long_ = (_peak_kib(tmp_path, book, days) for days in (200, 1_000))
    assert long_ < short * 1.15, (short, long_)


def _peak_kib(tmp_path: Path, book: Path, days: int) -> int:
    path = tmp_path / f"{days}.ndjson"
    with path.open("wb") as out:
        for day in range(days):
            for number in range(40):
                at = JANUARY_2 + day * DAY + number
                address = f"10.{day % 250}.{day // 250}.{number}"
                out.write(to_line(event(f"{day}-{number}", account_id=f"a{number % 4}", occurred_at=at, ip=address)))
    program = """
import resource, sys
from application.input.file_rating import Rater
from application.input.lines import read_lines
from application.input.ndjson import CommandReader

with open(sys.argv[1]) as book, open(sys.argv[2], "rb") as lines:
    for output in Rater(book.read()).rate(CommandReader(read_lines(lines))):
        pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    command = [sys.executable, "-c", program, str(book), str(path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    return int(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)


@pytest.mark.slow
def test_rating_in_pieces_between_writes_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    events = [
        event(f"e{number % 700}", ip=f"1.1.1.{number % 90}", occurred_at=JANUARY_2 + number * 9_000_000)
        for number in range(1_500)
    ]
    whole = rated(*events)
    for size in (1, 7, 100):
        monkeypatch.setattr(file_rating, "_COMMANDS_BETWEEN_WRITES", size)
        assert rated(*events) == whole


@pytest.mark.slow
def test_no_event_takes_longer_as_the_file_grows() -> None:
    """A bound of the processor's time that only a mistake, such as a scan for each event, would break."""
    events = [event(f"e{number}", ip=f"10.0.{number % 250}.{number % 199}") for number in range(20_000)]
    began = time.process_time()
    assert len(rated(*events)) == 20_000
    assert time.process_time() - began < 20


def test_the_fields_of_each_output_are_those_that_are_printed() -> None:
    grant = {
        "type": "grant", "grant_id": "g", "account_id": "a", "credit_type": "credit", "credits": 60,
        "granted_at": JANUARY_2,
    }  # fmt: skip
    granted, billed, repeated, dead = rated(grant, event("e"), event("e"), event("e2", ip="nowhere"))
    assert next(iter(granted)) == next(iter(billed)) == "type"
    assert set(granted) == {"type", *file_rating._GRANT_FIELDS}
    assert (repeated["first_line_number"], "first_offset" in repeated) == (2, False)
    assert dead == file_rating.dead_letter(DeadLetterReason.INVALID_EVENT, "ip", 4)


def test_settings_are_applied_and_not_printed() -> None:
    settings = {"type": "account", "update_id": "u", "account_id": "a", "on_empty": "reject", "at": JANUARY_2}
    (billed,) = rated(settings, event("e"))
    assert billed["decision"] == "insufficient_credits"


def test_a_line_that_is_no_command_is_a_dead_letter_and_rating_goes_on() -> None:
    rater = Rater(BOOK)
    lines = b"nope\n" + to_line(event("e")) + b"[]\n"
    outputs = list(rater.rate(CommandReader(read_lines(io.BytesIO(lines)))))
    assert [output["type"] for output in outputs] == ["dead_letter", "billed", "dead_letter"]
    assert [output.get("line_number") for output in outputs] == [1, None, 3]
    assert rater.summary.dead_letters["undecodable"] == 2


def test_a_book_with_a_mistake_rates_nothing() -> None:
    with pytest.raises(BookFileError):
        Rater(BOOK.replace("credits: 20", "credits: -1"))


@pytest.mark.parametrize("text", ["größe ✓", "\u2028", "\U0001f600", 'a"b\\c', "half \ud800", "a\nb"])
def test_a_line_is_one_line_of_utf_8_that_reads_back_the_same(text: str) -> None:
    line = to_line({"text": text})
    assert line.count(b"\n") == 1
    assert json.loads(line.decode("utf-8")) == {"text": text}
