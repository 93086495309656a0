"""gzip and zstd: whole data comes out, cut data and bombs do not."""

from __future__ import annotations

import gzip
import os

import pytest
import zstandard

from server.bodies.compression import Damaged, TooLarge, decompressed

MOST = 4 << 20
DATA = [b"", b"a", os.urandom(300_000), b"x" * 3_000_000, b"abc" * 100_000]


def packed(coding: str, raw: bytes, **options: int) -> bytes:
    return gzip.compress(raw) if coding == "gzip" else zstandard.ZstdCompressor(**options).compress(raw)


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
@pytest.mark.parametrize("raw", DATA, ids=lambda raw: f"{len(raw)} bytes")
def test_whole_data_comes_out_and_cut_data_does_not(coding: str, raw: bytes) -> None:
    whole = packed(coding, raw)
    assert decompressed(coding, whole, MOST) == raw
    assert decompressed(coding, whole + whole, 2 * MOST) == raw + raw
    for cut in {1, 2, 3, 4, 5, 9, len(whole) // 2, len(whole) - 1} - {0}:
        if cut < len(whole):
            with pytest.raises(Damaged):
                decompressed(coding, whole[:-cut], MOST)


def test_zstd_in_all_its_frames() -> None:
    for options in ({"write_checksum": True}, {"level": 19}, {"write_content_size": False}):
        whole = packed("zstd", DATA[2], **options)
        skipped = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"
        assert decompressed("zstd", skipped + whole + skipped, MOST) == DATA[2]
    stream = zstandard.ZstdCompressor().compressobj()
    assert decompressed("zstd", stream.compress(b"a") + stream.flush(), MOST) == b"a"


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_a_bomb_stops_at_the_bound(coding: str) -> None:
    bomb = packed(coding, b"\0" * (64 << 20))
    assert len(bomb) < 100_000
    with pytest.raises(TooLarge):
        decompressed(coding, bomb, MOST)
    with pytest.raises(TooLarge):
        decompressed(coding, packed(coding, b"ab"), 1)
    assert decompressed(coding, packed(coding, b"ab"), 2) == b"ab"


def test_a_zstd_frame_that_wants_a_huge_window_is_refused() -> None:
    wide = zstandard.ZstdCompressionParameters(window_log=27, enable_ldm=True)
    stream = zstandard.ZstdCompressor(compression_params=wide).compressobj()
    with pytest.raises(Damaged, match="window"):
        decompressed("zstd", stream.compress(b"a") + stream.flush(), MOST)


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
@pytest.mark.parametrize("junk", [b"", b"junk", b"\x28\xb5\x2f\xfd", b"\x1f\x8b", b"\x1f\x8b\x08\x00"])
def test_other_bytes_are_damaged(coding: str, junk: bytes) -> None:
    with pytest.raises(Damaged):
        decompressed(coding, junk, MOST)
