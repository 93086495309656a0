"""Scripts, styles and pictures of the pages: read once, kept by browsers under the digest of what they have."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.responses import Response

from server.api.problems import Problem, ProblemType
from server.pages.page_call import PageCall

PATH = "/static"
_TYPES = {
    ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}  # fmt: skip
_FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class StaticFile:
    """Its content, its type, and the digest that stands in its URL."""

    content: bytes
    media_type: str
    digest: str


@cache
def static_files() -> dict[str, StaticFile]:
    """All files, by name: those of the folder and of its folder vendor."""
    folder = files("server.pages") / "static"
    return dict(_read(folder)) | dict(_read(folder / "vendor"))


def _read(folder: Traversable) -> list[tuple[str, StaticFile]]:
    read = []
    for entry in folder.iterdir():
        media_type = _TYPES.get(entry.name[entry.name.rfind(".") :])
        if entry.is_file() and media_type is not None:
            content = entry.read_bytes()
            read.append((entry.name, StaticFile(content, media_type, sha256(content).hexdigest()[:12])))
    return read


def static_url(name: str) -> str:
    """Where a browser gets the file. Raises KeyError for one that there is not."""
    return f"{PATH}/{name}?v={static_files()[name].digest}"


async def get_static(call: PageCall) -> Response:
    """One file. Kept for ever where the URL has the digest of what it has."""
    file = static_files().get(call.ids["name"])
    if file is None:
        raise Problem(ProblemType.NOT_FOUND, "there is no such file")
    is_named = call.query.get("v") == [file.digest]
    headers = {"cache-control": _FOR_EVER if is_named else "no-cache", "etag": f'"{file.digest}"'}
    if call.headers.get("if-none-match") == headers["etag"]:
        return Response(b"", 304, headers)
    return Response(file.content, 200, headers, file.media_type)
