"""`docs/schemas.md` tells the truth: every field of every schema is in it, and its examples run."""

import re
from pathlib import Path
from typing import Any

import pytest

from schemas import errors
from schemas.catalog import NAMES, current, expanded, released, short_name
from schemas.codec import Codec
from schemas.reference import fingerprints, tables
from schemas.source import kind_of
from tests.schemas.records import EXAMPLES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "schemas.md").read_text("utf-8")
CODE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
REMEDY = "run `python -m schemas.reference` and put its text into docs/schemas.md"


def named_types(schema: Any) -> list[dict[str, Any]]:
    """Every record and enum of an expanded schema."""
    if isinstance(schema, list):
        return [type_name for branch in schema for type_name in named_types(branch)]
    if not isinstance(schema, dict):
        return []
    inner = [schema.get("items"), schema.get("values"), *(field["type"] for field in schema.get("fields", ()))]
    type_name = [schema] if kind_of(schema) in {"record", "enum"} else []
    return type_name + [deeper for part in inner for deeper in named_types(part)]


@pytest.mark.parametrize("name", NAMES)
def test_every_table_is_in_the_page(name: str) -> None:
    assert tables(name) in PAGE, REMEDY
    for record in named_types(expanded(current(name))):
        for field in record.get("fields", ()):
            assert f"| `{field['name']}` | " in tables(name)
        for symbol in record.get("symbols", ()):
            assert f"`{symbol}`" in tables(name)


def test_the_fingerprints_are_in_the_page() -> None:
    assert fingerprints() in PAGE, REMEDY


def test_every_fixed_text_is_in_the_page() -> None:
    texts = [text for name, text in vars(errors).items() if name.isupper() and text != errors.NOT_A_BATCH]
    assert texts
    for text in texts:
        assert f"| `{text}` |" in PAGE


@pytest.mark.parametrize("number", range(len(CODE)))
def test_the_examples_run(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    names: dict[str, Any] = {}
    exec(CODE[number], names)
    if "read" in names:
        for name, record in EXAMPLES.items():
            assert names["read"](Codec().encode(name, record)) == record
        names.clear()
    assert len(CODE) == 2


@pytest.mark.parametrize("schema", [*released(), *map(current, NAMES)], ids=lambda schema: schema["name"])
def test_every_schema_is_described_and_can_grow(schema: Any) -> None:
    for named in named_types(expanded(schema)):
        assert named["doc"]
        assert named["name"].startswith("creditmeter.v1.")
        for field in named.get("fields", ()):
            assert field["doc"]
            assert field.get("unit") in {None, "ms", "credits", "bytes"}
            if field["name"].endswith("_at") or field["name"] == "at":
                assert field["unit"] == "ms"
            if kind_of(field["type"]) == "union":
                assert field["type"][0] == "null"
                assert field["default"] is None
            if kind_of(field["type"]) == "map":
                assert field["default"] == {}
        if kind_of(named) == "enum":
            assert named["symbols"][-1] == named["default"] == "unknown"


def test_the_files_are_named_after_their_records() -> None:
    files = {file.stem for file in (ROOT / "schemas").glob("*.avsc")}
    assert files == set(NAMES)
    assert all(current(name)["name"] == name for name in NAMES)
    assert {short_name(expanded(schema)) for schema in released()} == set(NAMES)


def test_a_type_used_by_several_records_is_the_same_in_each() -> None:
    seen: dict[str, Any] = {}
    for name in NAMES:
        for named in named_types(expanded(current(name))):
            if "symbols" in named:
                assert seen.setdefault(named["name"], named["symbols"]) == named["symbols"]
