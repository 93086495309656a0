"""What a file is by how it begins: compressed, foreign, or text; and damage that is raised where reading goes on."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile
from collections.abc import Callable

import cramjam
import pytest

from application.input.contents import DAMAGED, ForeignContentError, decompressed, wide_encoding

TEXT = b'{"a": 1}\n{"a": 2}\n'
COMPRESSIONS = [gzip.compress, bz2.compress, lzma.compress]


def content(data: bytes) -> bytes:
    return decompressed(io.BytesIO(data)).read()


def tar_of(content: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        entry = tarfile.TarInfo("a.log")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def zip_of(content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.log", content)
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (bytes(cramjam.zstd.compress(TEXT)), "zstd -dc"),
        (b"\x50\x2a\x4d\x18\x04\0\0\0size" + bytes(cramjam.zstd.compress(TEXT)), "zstd -dc"),
        (zip_of(TEXT), "zip archive"),
        (tar_of(TEXT), "tar archive"),
        (gzip.compress(tar_of(TEXT)), "tar archive"),
        (gzip.compress(gzip.compress(TEXT)), "compressed twice"),
        (gzip.compress(bytes(cramjam.zstd.compress(TEXT))), "zstd"),
        (lzma.compress(TEXT, format=lzma.FORMAT_ALONE), "lzma"),
        (bytes(cramjam.lz4.compress(TEXT)), "lz4"),
        (b"PAR1" + bytes(100), "Parquet"),
        (b"Obj\x01" + bytes(100), "Avro"),
        *((TEXT.decode().encode(name), name) for name in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")),
        *((TEXT.decode().encode(name), name[:6]) for name in ("utf-16", "utf-32")),
        (b"\xfe\xff" + TEXT.decode().encode("utf-16-be"), "utf-16-be"),
        (gzip.compress(TEXT.decode().encode("utf-16")), "utf-16"),
        ('1.2.3.4 - - "größe"'.encode("utf-16-le"), "utf-16-le"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",  # bytes hold gzip's time: no name in several processes
)
def test_what_is_no_text_in_utf_8_is_named_before_anything_is_read(data: bytes, said: str) -> None:
    expected = said.upper().replace("-LE", "LE").replace("-BE", "BE") if said.startswith("utf") else said
    with pytest.raises(ForeignContentError, match=expected):
        content(data)


@pytest.mark.parametrize("compress", [bytes, *COMPRESSIONS])
@pytest.mark.parametrize("data", [b"", b"a", b"\n", TEXT, TEXT * 30_000, bytes(300) + TEXT])
def test_text_comes_out_as_it_was_whatever_it_was_packed_with(compress: Callable[[bytes], bytes], data: bytes) -> None:
    assert content(compress(data)) == data


@pytest.mark.parametrize("compress", COMPRESSIONS)
def test_damage_is_raised_only_where_it_is_reached(compress: Callable[[bytes], bytes]) -> None:
    packed = compress(os.urandom(1 << 20))
    stream = decompressed(io.BytesIO(packed[:-1000]))
    assert len(stream.read(1_000)) == 1_000
    with pytest.raises(DAMAGED):
        stream.read()


@pytest.mark.parametrize("compress", COMPRESSIONS)
def test_a_header_that_is_cut_is_damage_and_no_empty_file(compress: Callable[[bytes], bytes]) -> None:
    stream = decompressed(io.BytesIO(compress(TEXT)[:8]))
    for _ in range(2):
        with pytest.raises(DAMAGED):
            stream.read()


@pytest.mark.parametrize(
    ("beginning", "encoding"),
    [
        (b"", None), (b"ab", None), (b"a\0", None), (bytes(16), None), (b"\0\0\0a" + bytes(12), None),
        (b"a\0" * 4, "UTF-16LE"), (b"\0a" * 4, "UTF-16BE"), (b"a\0\0\0" * 4, "UTF-32LE"), (b"\0\0\0a" * 4, "UTF-32BE"),
        (b"a\0" * 3 + b"ab", None), (b"\xff\xfe", "UTF-16LE"), (b"\xff\xfe\0\0", "UTF-32LE"),
        ("größe".encode(), None),
    ],
)  # fmt: skip
def test_wide_text_is_known_by_its_mark_or_its_zero_bytes(beginning: bytes, encoding: str | None) -> None:
    assert wide_encoding(beginning) == encoding


def test_a_pipe_with_less_than_a_beginning_is_not_waited_for_in_vain() -> None:
    """One short line is enough to know that it is text: the next one may take hours."""
    reading, writing = os.pipe()
    os.write(writing, b"a\n")
    with os.fdopen(reading, "rb") as pipe:
        stream = decompressed(pipe)
        assert stream.readline() == b"a\n"
        os.write(writing, b"b\n")
        os.close(writing)
        assert stream.read() == b"b\n"
