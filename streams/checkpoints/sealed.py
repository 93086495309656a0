"""Files that are there whole or not at all: a manifest with the SHA-256 of each, and a seal, written last.

The seal is the manifest's own SHA-256. Without it the files count for nothing; with it nothing can change unseen.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

MANIFEST, SEAL = "manifest.json", "manifest.sha256"
_BLOCK = 1 << 20


class CheckpointError(Exception):
    """A checkpoint cannot be used or written; the message says which file and what to do."""


class Damaged(Exception):
    """A file is missing or not what was written. `name` is the file's, within its folder."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def sealed_text(content: Mapping[str, Any]) -> tuple[bytes, str]:
    """A manifest as it is written, and its seal."""
    text = json.dumps(content, indent=1).encode()
    return text, hashlib.sha256(text).hexdigest()


def unsealed(text: bytes, seal: bytes) -> dict[str, Any]:
    """What a manifest says. Raises Damaged where its seal is another's."""
    if hashlib.sha256(text).hexdigest().encode() != seal.strip():
        raise Damaged(MANIFEST)
    content: dict[str, Any] = json.loads(text)
    return content


def checksum(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    made = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            made.update(block)
    return made.hexdigest()


def files_in(folder: Path) -> Iterator[str]:
    """Every file below the folder, but for manifest and seal: relative names in order."""
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_file() and name not in {MANIFEST, SEAL}:
            yield name


def compare(folder: Path, checksums: Mapping[str, str]) -> None:
    """Raises Damaged for the first file that is missing or has another checksum."""
    for name, expected in checksums.items():
        path = folder / name
        if not path.is_file() or checksum(path) != expected:
            raise Damaged(name)
