"""Lines of files: their ends, zero bytes before them, compression that breaks off, and content that is no text."""

import bz2
import gzip
import io
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from application.input.lines import Line, UnreadableInputError, open_source, read_lines

pytestmark = pytest.mark.slow

TEXT = b'{"a": 1}\n{"a": 2}\n'
COMPRESSIONS = [gzip.compress, bz2.compress, lzma.compress]


def lines_of(path: Path) -> list[Line]:
    with open_source(str(path)) as source:
        return list(read_lines(source.stream))


@pytest.mark.parametrize("compress", [bytes, *COMPRESSIONS])
@pytest.mark.parametrize("size", [1, 30_000])
def test_plain_and_compressed_files(tmp_path: Path, compress: Callable[[bytes], bytes], size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(compress(TEXT * size))
    lines = lines_of(path)
    assert [line.content for line in lines] == TEXT.splitlines() * size
    assert all(line.ended for line in lines)
    path.write_bytes(compress(b""))
    assert lines_of(path) == []


@pytest.mark.parametrize("compress", COMPRESSIONS)
@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
def test_a_compressed_file_that_is_cut_short_says_after_which_line(
    tmp_path: Path, compress: Callable[[bytes], bytes], kept: float
) -> None:
    import random

    rng = random.Random(7)
    whole = compress(b"".join(b"%032x\n" % rng.getrandbits(128) for _ in range(20_000)))
    path = tmp_path / "file"
    path.write_bytes(whole[: int(len(whole) * kept)])
    given: list[Line] = []
    with (
        open_source(str(path)) as source,
        pytest.raises(UnreadableInputError, match=r"cannot be read after line \d+: "),
    ):
        given.extend(read_lines(source.stream))
    with open_source(str(path)) as source:
        try:
            for line in read_lines(source.stream):
                assert line.ended, "a line that the cut may have shortened"
        except UnreadableInputError:
            pass


@pytest.mark.parametrize("compress", COMPRESSIONS)
def test_garbage_in_the_middle_of_a_compressed_file_is_an_error(
    tmp_path: Path, compress: Callable[[bytes], bytes]
) -> None:
    whole = bytearray(compress(bytes(range(1, 200)) * 5_000))
    middle = len(whole) // 2
    whole[middle : middle + 20] = bytes(20)
    path = tmp_path / "file"
    path.write_bytes(whole)
    with pytest.raises(UnreadableInputError, match="cannot be read"):
        lines_of(path)


@pytest.mark.parametrize("compress", COMPRESSIONS)
def test_streams_one_after_another_are_one_file_and_damage_in_any_is_an_error(
    tmp_path: Path, compress: Callable[[bytes], bytes]
) -> None:
    one = compress(TEXT)
    path = tmp_path / "file"
    path.write_bytes(one + one + (b"" if compress is bz2.compress else bytes(8)))
    assert [line.content for line in lines_of(path)] == TEXT.splitlines() * 2
    for rest in (one[:1], one[:5], one[:-1], b"garbage", b"\0" * 4 + one[1:]):
        path.write_bytes(one + rest)
        with pytest.raises(UnreadableInputError, match=r"cannot be read after line [24]: "):
            lines_of(path)


def of(content: bytes, longest: int = 100) -> list[tuple[bytes, bool, bool]]:
    return [(line.content, line.too_long, line.ended) for line in read_lines(io.BytesIO(content), longest)]


def test_a_last_line_without_its_end_is_known() -> None:
    assert of(b"a\nb") == [(b"a", False, True), (b"b", False, False)]
    assert of(b"a\nb\r") == [(b"a", False, True), (b"b", False, False)]
    assert of(b"a\r\n") == [(b"a", False, True)]
    assert of(b"a" * 300) == [(b"a" * 100, True, False)]
    assert of(b"a" * 300 + b"\n") == [(b"a" * 100, True, True)]


def test_zero_bytes_before_a_line_are_not_part_of_it_however_many() -> None:
    """What copytruncate and power cuts leave: up to the size that the file had before."""
    for zeros in (1, 3, 99, 100, 101, 250, 1_000):
        assert of(bytes(zeros) + b"line\nmore\n") == [(b"line", False, True), (b"more", False, True)]
        assert of(b"line\n" + bytes(zeros) + b"more\n") == [(b"line", False, True), (b"more", False, True)]
        assert of(b"line\n" + bytes(zeros)) == [(b"line", False, True)]
        assert of(bytes(zeros) + b"b" * 101 + b"\nc\n") == [(b"b" * 100, True, True), (b"c", False, True)]
    assert of(b"a\0b\n") == [(b"a\0b", False, True)]


def test_a_byte_order_mark_is_no_part_of_a_line() -> None:
    assert of(b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n") == [(b"a", False, True), (b"b", False, True)]


def test_a_pipe_that_gives_a_byte_at_a_time() -> None:
    class Slow(io.RawIOBase):
        def __init__(self, content: bytes) -> None:
            self._content = io.BytesIO(content)

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            piece = self._content.read(1)
            buffer[: len(piece)] = piece
            return len(piece)

    for content in (TEXT, gzip.compress(TEXT), bz2.compress(TEXT), lzma.compress(TEXT)):
        with open_source("-", io.BufferedReader(Slow(content))) as source:
            assert [line.content for line in read_lines(source.stream)] == TEXT.splitlines()


def test_a_gzip_file_that_ends_within_its_header_is_not_an_empty_one(tmp_path: Path) -> None:
    path = tmp_path / "file.gz"
    for length in range(2, 10):
        path.write_bytes(gzip.compress(TEXT)[:length])
        with pytest.raises(UnreadableInputError, match="cannot be read after line 0"):
            lines_of(path)


def test_cr_alone_is_no_line_end_and_is_named() -> None:
    for content in (b"a\rb\r", b"a\rb", b"a\r" + b"b" * 300):
        with pytest.raises(UnreadableInputError, match="CR alone"):
            of(content)
    assert of(b"a\r\r\nb\r\r\n") == [(b"a", False, True), (b"b", False, True)]
    assert of(b"a\r") == [(b"a", False, False)]


def test_a_line_beyond_the_bound_is_read_past() -> None:
    lines = list(read_lines(io.BytesIO(b"a" * 100 + b"\n" + b"b" * 10 + b"\n" + b"c" * 11), longest=10))
    assert [(line.number, line.content, line.too_long) for line in lines] == [
        (1, b"a" * 10, True), (2, b"b" * 10, False), (3, b"c" * 10, True),
    ]  # fmt: skip


def test_foreign_content_is_named_and_no_line_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"PAR1" + bytes(100))
    with pytest.raises(UnreadableInputError, match="is a Parquet file"):
        lines_of(path)
