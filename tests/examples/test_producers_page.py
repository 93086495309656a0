"""`docs/producers.md` tells the truth about what can be checked without a client of each kind."""

import re
from pathlib import Path

from metering.records import DeadLetterReason
from streams.log.partitioner import murmur2, partition_of
from streams.log.protocols import PRODUCER_HEADER, PRODUCER_LENGTH

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "producers.md").read_text("utf-8")


def test_the_accounts_are_in_the_partitions_that_it_gives() -> None:
    rows = re.findall(r"^\| `([^`]+)` \| (\d+) \| (\d+) \|$", PAGE, re.MULTILINE)
    assert len(rows) == 4
    for account, hashed, partition in rows:
        assert murmur2(account.encode()) & 0x7FFFFFFF == int(hashed)
        assert partition_of(account, 8) == int(partition)


def test_every_reason_the_header_and_the_setting_are_named() -> None:
    for reason in DeadLetterReason:
        assert f"| `{reason}` |" in PAGE
    assert f"`{PRODUCER_HEADER}` (UTF-8, {PRODUCER_LENGTH} characters)" in PAGE
    assert "`partitioner=murmur2_random`" in PAGE


def test_its_links_lead_somewhere() -> None:
    pages = {ROOT / "docs" / "producers.md", ROOT / "examples" / "producers" / "README.md"}
    links = {
        (page, link) for page in pages for link in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text("utf-8"))
    }
    assert len(links) > 10
    for page, link in links:
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        heads = re.findall(r"^#+ (.*)$", target.read_text("utf-8"), re.MULTILINE) if anchor else []
        anchors = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}
        assert not anchor or anchor in anchors, link


def test_each_language_has_its_program() -> None:
    folders = {path.name for path in (ROOT / "examples" / "producers").iterdir() if path.is_dir()}
    assert folders == {"go", "java", "kcat", "node", "python"}
