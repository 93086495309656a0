"""The spool's files: who may read them, who owns them, what is left of a torn one."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from creditmeter_client.recording.ownership import SpoolUnusable
from creditmeter_client.recording.segments import framed, read_lines
from creditmeter_client.recording.spool import Spool, SpoolFull


def lines_of(spool: Spool) -> list[bytes]:
    lines = []
    while (segment := spool.load_oldest()) is not None:
        lines += [line.line for line in segment.lines]
        spool.finish(segment)
    return lines


def test_only_its_user_may_enter(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    spool = Spool(folder, max_bytes=10_000)
    spool.write_overflow(b"{}", 1, sync=False)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}


def test_a_folder_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    with pytest.raises(SpoolUnusable, match="chmod 700"):
        Spool(folder, max_bytes=10_000)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("")
    with pytest.raises(SpoolUnusable, match="can't be made"):
        Spool(tmp_path / "spool", max_bytes=10_000)


def test_it_is_read_in_the_order_in_which_it_was_written(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", max_bytes=100_000, segment_bytes=50)
    written = [b'{"n":%d}' % number for number in range(20)]
    for line in written:
        spool.write_overflow(line, 5, sync=False)
    assert spool.waiting() == 20
    assert lines_of(spool) == written
    assert spool.waiting() == 0
    assert list((tmp_path / "spool").glob("*.events")) == []


def test_a_cut_line_and_a_changed_one_are_told_from_the_whole_ones(tmp_path: Path) -> None:
    whole = framed(b'{"a":1}', 7)
    assert [line and line.line for line in read_lines(whole + whole[:-5])] == [b'{"a":1}', None]
    assert list(read_lines(whole.replace(b"1", b"2", 1))) == [None]
    assert list(read_lines(b"\n\x00\x00\n")) == [None, None]


def test_its_bytes_are_bounded_and_come_back(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", max_bytes=100)
    spool.write_overflow(b"x" * 60, 1, sync=False)
    with pytest.raises(SpoolFull, match="100 bytes"):
        spool.write_overflow(b"x" * 60, 1, sync=False)
    lines_of(spool)
    spool.write_overflow(b"x" * 60, 1, sync=False)


def test_all_processes_share_the_bound(tmp_path: Path) -> None:
    first = Spool(tmp_path / "spool", max_bytes=100)
    first.write_overflow(b"x" * 60, 1, sync=False)
    with pytest.raises(SpoolFull):
        Spool(tmp_path / "spool", max_bytes=100).write_overflow(b"x" * 60, 1, sync=False)


def test_a_living_owner_is_left_alone_and_a_gone_one_taken_over_once(tmp_path: Path) -> None:
    owner = Spool(tmp_path / "spool", max_bytes=10_000)
    owner.write_overflow(b"mine", 1, sync=False)
    other, third = (Spool(tmp_path / "spool", max_bytes=10_000) for _ in range(2))
    assert other.adopt() == 0
    owner.close()
    assert [other.adopt(), third.adopt()] == [1, 0]
    assert lines_of(other) == [b"mine"]
    assert list((tmp_path / "spool").iterdir()) == []


def test_what_was_taken_over_and_not_finished_can_be_taken_over_again(tmp_path: Path) -> None:
    owner = Spool(tmp_path / "spool", max_bytes=10_000)
    owner.write_overflow(b"mine", 1, sync=False)
    owner.close()
    other = Spool(tmp_path / "spool", max_bytes=10_000)
    other.adopt()
    other.load_oldest()
    other.close()
    third = Spool(tmp_path / "spool", max_bytes=10_000)
    third.adopt()
    assert lines_of(third) == [b"mine"]


def test_a_process_that_is_killed_leaves_its_durable_lines(tmp_path: Path) -> None:
    program = """
        import os, signal, sys
        from pathlib import Path
        from creditmeter_client.recording.spool import Spool
        spool = Spool(Path(sys.argv[1]), max_bytes=10_000)
        first = spool.write_durable(b"one", 1)
        spool.write_durable(b"two", 1)
        spool.settle(first)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    paths = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "client")}
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "spool")], env=paths)
    assert killed.returncode == -9
    spool = Spool(tmp_path / "spool", max_bytes=10_000)
    assert spool.adopt() == 1
    assert lines_of(spool) == [b"one", b"two"]  # the settled one again: its id makes that harmless


def test_a_durable_file_is_cut_when_all_in_it_are_settled(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", max_bytes=10_000, durable_bytes=30)
    segments = [spool.write_durable(b"%d" % number, 1) for number in range(6)]
    assert len(set(segments)) > 1
    for segment in segments:
        spool.settle(segment)
    sizes = [file.stat().st_size for file in (tmp_path / "spool").glob("*.events")]
    assert sizes == [0]


def test_what_is_settled_is_soon_off_the_disk_also_where_some_line_is_always_open(tmp_path: Path) -> None:
    """A process that takes over what a killed one has left sends all of it again."""
    spool = Spool(tmp_path / "spool", max_bytes=10_000_000, durable_bytes=4_000)
    open_ = [spool.write_durable(b"x" * 100, 1)]
    for _ in range(300):
        open_.append(spool.write_durable(b"x" * 100, 1))
        spool.settle(open_.pop(0))
    assert sum(file.stat().st_size for file in (tmp_path / "spool").glob("*.events")) < 2 * 4_200


def test_a_deleted_file_is_no_reason_to_stop(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spool = Spool(tmp_path / "spool", max_bytes=10_000, segment_bytes=10)
    spool.write_overflow(b"first", 1, sync=False)
    spool.write_overflow(b"second", 1, sync=False)
    next((tmp_path / "spool").glob("*.1.events")).unlink()
    assert lines_of(spool) == [b"second"]
    assert "deleted by somebody else" in caplog.text
