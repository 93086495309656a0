"""What lets a broker start quickly; that brokers do is in test_broker.py."""

import shutil
import sys
from pathlib import Path

import pytest

from local import broker
from local.cache import cache_folder
from local.quick_start import QuickStart, kafka_id


def properties(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if not line.startswith("#"))


def test_storage_is_that_of_the_format_tool_with_ids_of_its_own(tmp_path: Path) -> None:
    written = tmp_path / "written"
    written.mkdir()
    text = "#\n#Thu Nov 26\nnode.id=1\ndirectory.id=older\nversion=1\ncluster.id=older\n"
    (written / "meta.properties").write_text(text)
    (written / "bootstrap.checkpoint").write_bytes(b"\x00\xff\n")
    quick = QuickStart(tmp_path / "kept")
    quick.keep_storage(written)
    assert quick.java_options() == []  # nothing is archived
    directories = set()
    for name in ("one", "two"):
        quick.format(tmp_path / name, name)
        assert (tmp_path / name / "bootstrap.checkpoint").read_bytes() == b"\x00\xff\n"
        made = properties((tmp_path / name / "meta.properties").read_text())
        assert (made["node.id"], made["version"], made["cluster.id"]) == ("1", "1", name)
        directories.add(made["directory.id"])
    assert len(directories - {"older"}) == 2


def test_ids_are_as_kafka_writes_them() -> None:
    ids = {kafka_id() for _ in range(2_000)}
    assert len(ids) == 2_000
    assert {len(one) for one in ids} == {22}
    assert not [one for one in ids if one.startswith("-")]  # the format tool would take it for an option


def test_a_start_is_slow_where_nothing_can_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "creditmeter").write_text("a file")
    assert broker.quick_start(sys.executable) is None
    said = capsys.readouterr().err
    assert said.startswith(f"The Kafka broker starts slowly: {cache_folder()}/kafka-start-")
    assert "could not be filled" in said


def test_another_java_is_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(broker, "_make_quick_start", lambda folder: (folder / "made").touch())
    java = tmp_path / "java"
    shutil.copy(sys.executable, java)
    first, again = broker.quick_start(str(java)), broker.quick_start(str(java))
    java.write_bytes(b"a newer one")
    assert first == again != broker.quick_start(str(java))
