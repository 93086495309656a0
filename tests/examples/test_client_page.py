"""`docs/client.md` and the READMEs of the client tell the truth about what can be checked."""

import dataclasses
import re
from pathlib import Path

from creditmeter_client import Counts, HoldStatus, MeterSettings
from creditmeter_client.middleware import MiddlewareSettings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "client.md").read_text("utf-8")
PAGES = [ROOT / "docs" / "client.md", ROOT / "client" / "README.md", ROOT / "examples" / "service" / "README.md"]


def test_its_links_lead_somewhere() -> None:
    links = {
        (page, link) for page in PAGES for link in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text("utf-8"))
    }
    assert len(links) > 12
    for page, link in links:
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        heads = re.findall(r"^#+ (.*)$", target.read_text("utf-8"), re.MULTILINE) if anchor else []
        anchors = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}
        assert not anchor or anchor in anchors, link


def test_the_test_that_it_shows_passes() -> None:
    (code,) = [code for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "MemoryTransport(" in code]
    exec(compile(code, "docs/client.md", "exec"), {})


def test_every_python_block_can_be_read() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) >= 7
    for code in blocks:
        compile(code.replace("people(...)", "people()"), "docs/client.md", "exec")


def test_counters_settings_and_statuses_are_called_what_it_calls_them() -> None:
    for name in re.findall(r"`counts\(\)\.(\w+)`", PAGE):
        assert name in {field.name for field in dataclasses.fields(Counts)}, name
    settings = {field.name for cls in (MeterSettings, MiddlewareSettings) for field in dataclasses.fields(cls)}
    for name in ("queue_events", "queue_bytes", "spool_bytes", "spool_age_ms", "exit_timeout", "durable",
                 "request_deadline", "admission_wait"):  # fmt: skip
        assert name in settings
        assert name in PAGE
    for status in HoldStatus:
        assert f"`{status.value}`" in PAGE


def test_what_it_shows_in_other_languages_is_in_the_example_programs() -> None:
    programs = {"java": "java/src/main/java/ReadBilled.java", "go": "go/main.go"}
    for language, path in programs.items():
        program = [line.strip() for line in (ROOT / "examples" / "readers" / path).read_text().splitlines()]
        (shown,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
        lines = [line.strip() for line in shown.splitlines()]
        assert len(lines) > 20
        assert any(program[start : start + len(lines)] == lines for start in range(len(program))), language
