"""What a replay for the eye takes on disk, and what is said where there is no place for it."""

from pathlib import Path

import pytest

from application.accounts.opening import scratch_store
from application.errors import Misconfigured


def test_a_scratch_store_leaves_nothing_behind(tmp_path: Path) -> None:
    with scratch_store(tmp_path) as store:
        store.write({b"k": [1]})
        assert store.get(b"k") == [1]
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_data_directory_that_cannot_be_written_is_a_mistake_of_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(Misconfigured, match="data_dir"), scratch_store(file):
        pass
