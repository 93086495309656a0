"""Decoders and encoders of schemas, as they are quickest here: walked plans where compiled, else generated code."""

from __future__ import annotations

from collections.abc import Mapping

from metering.compiled import MODE
from schemas import reading, walkers, writing
from schemas.catalog import Schema


def compile_reader(schema: Schema, bounded: Mapping[str, int] | None = None) -> reading.Reader:
    """As `reading.compile_reader`."""
    return (walkers.walking_reader if MODE.is_compiled else reading.compile_reader)(schema, bounded)


def compile_digesting_reader(schema: Schema, bounded: Mapping[str, int]) -> reading.DigestingReader:
    """As `reading.compile_digesting_reader`."""
    return (walkers.walking_digesting_reader if MODE.is_compiled else reading.compile_digesting_reader)(schema, bounded)


def compile_slicing_reader(schema: Schema, bounded: Mapping[str, int]) -> reading.SlicingReader | None:
    """As `reading.compile_slicing_reader`."""
    return (walkers.walking_slicing_reader if MODE.is_compiled else reading.compile_slicing_reader)(schema, bounded)


def compile_writer(schema: Schema) -> writing.Writer:
    """As `writing.compile_writer`."""
    return (walkers.walking_writer if MODE.is_compiled else writing.compile_writer)(schema)
