"""gzip and zstd, decompressed piece by piece so that nothing beyond the bound is ever made."""

from __future__ import annotations

import io
import zlib

import zstandard

_PIECE = 1 << 16
_GZIP = 31
"""zlib's number for a gzip header and its trailer, with the largest window."""
_ZSTD_WINDOW = 8 << 20
"""Bytes of window that a zstd frame may ask for: what RFC 9659 lets a sender use."""


class TooLarge(Exception):
    """It decompresses to more than the bound."""


class Damaged(Exception):
    """It is cut, or no such data."""


def decompressed(coding: str, data: bytes, most: int) -> bytes:
    """What `data` decompresses to, `most` bytes at most. Raises TooLarge, Damaged."""
    return _gunzip(data, most) if coding == "gzip" else _unzstd(data, most)


def _gunzip(data: bytes, most: int) -> bytes:
    """All members of the file, as RFC 1952 has it."""
    whole = bytearray()
    rest = data
    while rest or not whole:
        inflater = zlib.decompressobj(_GZIP)
        try:
            while not inflater.eof:
                piece = inflater.decompress(rest, _PIECE)
                rest = inflater.unconsumed_tail
                whole += piece
                if len(whole) > most:
                    raise TooLarge
                if not piece and not rest and not inflater.eof:
                    raise Damaged("it ends too early")
        except zlib.error as error:
            raise Damaged("its bytes are not those of gzip") from error
        rest = inflater.unused_data
        if not rest:
            break
    return bytes(whole)


def _unzstd(data: bytes, most: int) -> bytes:
    whole = bytearray()
    inflater = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    try:
        with inflater.stream_reader(io.BytesIO(data), read_across_frames=True) as reader:
            while piece := reader.read(_PIECE):
                whole += piece
                if len(whole) > most:
                    raise TooLarge
    except zstandard.ZstdError as error:
        raise Damaged("its bytes are not those of zstd, or it asks for too large a window") from error
    if not _ends_whole(data):
        raise Damaged("it ends too early")
    return bytes(whole)


def _ends_whole(data: bytes) -> bool:
    """Whether the last zstd frame is there to its end: the reader takes a cut one for the end of the data.

    Walks over frames and blocks by their sizes (RFC 8878, section 3); their contents have been read before.
    """
    at = 0
    while at < len(data):
        if data[at + 1 : at + 4] == b"\x2a\x4d\x18" and data[at] & 0xF0 == 0x50:  # a frame to be skipped
            at += 8 + int.from_bytes(data[at + 4 : at + 8], "little")
            continue
        try:
            has_checksum = zstandard.get_frame_parameters(data[at : at + 18]).has_checksum
            at += zstandard.frame_header_size(data[at : at + 18])
        except zstandard.ZstdError:
            return False
        is_last = False
        while not is_last:
            if at + 3 > len(data):
                return False
            header = int.from_bytes(data[at : at + 3], "little")
            is_last = bool(header & 1)
            is_repeated_byte = header >> 1 & 3 == 1
            at += 3 + (1 if is_repeated_byte else header >> 3)
        at += 4 if has_checksum else 0
    return at == len(data) and bool(data)
