"""docs/support.md: every command in it is run, on its own history, and says what the document shows.

The history is moved by whole days, so that the document's day is today, and what is printed is moved back. Only times
of the log's own, ends counted from now, offsets, random ids and the sender's machine are not compared.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.main import main
from local.shared import SharedKafka
from tests.harness import Pipeline

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "support.md"
ITS_DAY = date(2026, 3, 5)
FIRST_DAY, LAST_DAY = date(2026, 1, 15), date(2026, 4, 2)
DAY = re.compile(r"\d{4}-\d\d-\d\d(?=T)")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)


def shown() -> list[tuple[str, str]]:
    """The document's commands, each with the output beside it."""
    return [
        (command.removeprefix("$ creditmeter "), output)
        for block in blocks("console")
        for command, _, output in (block.partition("\n"),)
    ]


class History:
    """The document's history on a real pipeline, `by` later than it is written."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.by = datetime.now(UTC).date() - ITS_DAY
        self.config = str(pipeline.folder / "one" / "loader.toml")

    def run(self, command: str, stdin: str | None = None) -> Result:
        words = ["--config", self.config, *shlex.split(self.moved(command))]
        return CliRunner().invoke(main, words, input=stdin, catch_exceptions=False)

    def output(self, command: str) -> str:
        """What the command prints, as the document would show it."""
        result = self.run(command)
        text = result.stdout or result.stderr
        return self.moved_back(text).replace(self.pipeline.names.prefix, "credits")

    def moved(self, text: str) -> str:
        return DAY.sub(lambda match: str(date.fromisoformat(match[0]) + self.by), text)

    def moved_back(self, text: str) -> str:
        def back(match: re.Match[str]) -> str:
            before = date.fromisoformat(match[0]) - self.by
            return str(before) if FIRST_DAY <= before <= LAST_DAY else match[0]

        return DAY.sub(back, text)


@pytest.fixture(scope="module")
def history(kafka: SharedKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    pipeline = Pipeline(kafka.bootstrap, kafka.fresh_prefix(), tmp_path_factory.mktemp("support"), partitions=2)
    try:
        pipeline.start("worker")
        pipeline.start("loader")
        history = History(pipeline)
        assert history.run(f"prices publish {ROOT / 'examples' / 'prices' / 'pixel.yaml'}").exit_code == 0
        (commands,) = blocks("json")
        assert history.run("emit", history.moved(commands)).exit_code == 0
        pipeline.wait_until_rated()
        pipeline.wait_until_loaded()
        yield history
    finally:
        pipeline.close()


def compared(text: str) -> list[str]:
    """What is compared of an output: its words, without how tables are ruled and spaced."""
    text = re.sub(r" until \S+Z(?=[; ])", " until LATER", text)  # in the evening, it is of the next day
    text = re.sub(rf"{ITS_DAY}T[0-9:.]+Z", "THEN", text)
    text = re.sub(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "UUID", text)
    text = re.sub(r"@\d+(/\d+)?", "@N", text)
    text = re.sub(r"\b\d@N", "P@N", text)
    text = re.sub(r"(emit|refund|hold)@\w+(?:[.-]\w+)*", r"\1@HOST", text)
    text = re.sub(r"up to offset \d+", "up to offset N", text)
    return text.replace("─", "").split()


def test_every_command_says_what_is_shown(history: History) -> None:
    commands = shown()
    assert len(commands) >= 8
    for command, output in commands:
        printed = history.output(command)
        if command.startswith("refund") and "--dry-run" not in command:
            history.pipeline.wait_until_loaded()
        assert compared(printed) == compared(output), f"{command}\n{printed}"


def test_the_history_moves_to_today_as_shown(history: History, tmp_path: Path) -> None:
    """A reader who sends the lines as they are written is refused every refund of the document."""
    (commands,) = blocks("json")
    (tmp_path / "history.ndjson").write_text(commands)
    moving = next(block for block in blocks("sh") if "history.ndjson" in block)
    subprocess.run(["sh", "-ec", moving.partition("creditmeter emit ")[0]], cwd=tmp_path, check=True)
    assert (tmp_path / "today.ndjson").read_text() == history.moved(commands)


def test_options_that_are_only_named_exist() -> None:
    text = DOCUMENT.read_text()
    named = set(re.findall(r"`creditmeter ([a-z-]+(?: [a-z]+)?)", text)) | {"refund --request-id"}
    assert {"audit", "status", "explain evt", "dead-letters show", "refund"} <= named
    for name in named:
        words = [word for word in name.split() if not word.startswith("evt") and word != "--request-id"]
        result = CliRunner().invoke(main, [*words, "--help"])
        assert result.exit_code == 0, name
    assert "--request-id" in CliRunner().invoke(main, ["refund", "--help"]).stdout
