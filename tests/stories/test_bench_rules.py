"""The benchmark's own rules, with which other stream processors are compared, make the pipeline's bill."""

import json
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import pytest
from click.testing import Result

from bench.events import BOOK, batches
from bench.rules import DAY, Meter

LATER = 2 * DAY
"""So that the second half of the events comes after the windows of the first have ended."""


@pytest.fixture
def events() -> list[dict[str, object]]:
    """800 events with repeats and known visitors: 400, and the same ids' visitors again two days later."""
    once = list(chain.from_iterable(batch.events for batch in batches(2, seed=3, partitions=2)))
    again = [
        {**event, "event_id": f"later-{event['event_id']}", "occurred_at": event["occurred_at"] + LATER}
        for event in once
    ]
    return once + again


def test_the_rules_make_the_bill_of_rate(
    run: Callable[..., Result], events: list[dict[str, object]], tmp_path: Path
) -> None:
    meter = Meter({}, {}, {}, {})
    lines = [line for event in events for line in meter.rate(event)]
    book = tmp_path / "book.yaml"
    book.write_text(BOOK)
    rated = run("rate", "--prices", book, stdin="".join(f"{json.dumps(event)}\n" for event in events))
    outputs = [json.loads(line) for line in rated.stdout.splitlines()]
    billed = [output for output in outputs if output["type"] == "billed"]
    assert {line["decision"] for line in billed} == {"charged", "duplicate"}
    assert len(outputs) > len(billed) > len(events)
    assert [{name: line[name] for name in own} for own, line in zip(lines, billed, strict=True)] == lines
