"""What the README shows is run, so that a newcomer's first five minutes hold."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from local.shared import SharedKafka
from schemas.price_book import read_book
from streams.log.input_log import KafkaInputLog
from streams.log.topics import TopicNames, TopicSettings, ensure_topics

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    shown = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert shown, f"the README shows no {language}"
    return shown


def test_the_price_book_is_one() -> None:
    (text,) = blocks("yaml")
    book = read_book(text)
    assert [charge.charge for charge in book.versions[0].charges] == ["ip-lookup", "records"]


def test_rate_runs_as_shown() -> None:
    (line,) = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("creditmeter rate")]
    done = subprocess.run(
        [Path(sys.executable).with_name("creditmeter"), *line.split()[1:]], cwd=ROOT, capture_output=True, check=True
    )
    assert b'"decision":"charged"' in done.stdout


@pytest.mark.kafka
def test_events_are_sent_from_python_as_shown(kafka: SharedKafka, tmp_path: Path) -> None:
    names = TopicNames(kafka.fresh_prefix())
    ensure_topics(kafka.bootstrap, names, TopicSettings(partitions=2))
    (code,) = [block for block in blocks("python") if "localhost:9092" in block]
    script = tmp_path / "shown.py"
    script.write_text(code.replace("localhost:9092", kafka.bootstrap).replace('"credits"', f'"{names.prefix}"'))
    subprocess.run([sys.executable, script], check=True, cwd=ROOT)
    log = KafkaInputLog(kafka.bootstrap, names.requests)
    assert sum(log.bounds(partition)[1] for partition in range(2)) == 1
    log.close()


def headings(page: Path) -> set[str]:
    """The names by which a page's headings are linked to."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in titles}


PAGES = [
    *ROOT.glob("*.md"),
    *(file for folder in ROOT.glob("[a-z]*") for file in folder.rglob("*.md") if "node_modules" not in file.parts),
]


def test_every_link_leads_somewhere() -> None:
    for page in PAGES:
        for target, anchor in re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", page.read_text()):
            if "://" not in target:
                linked = page.parent / target if target else page
                assert linked.exists(), f"{page.name} links to {target}, which is not there"
                assert not anchor or anchor in headings(linked), f"{page.name} links to {target}#{anchor}"
