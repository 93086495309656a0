"""A folder or an object store by its URL, as far as checkpoints need one. The only module that knows fsspec.

It is imported where a URL is looked at: every command opens a pipeline, and few of them have a checkpoint to do with.
Nothing here renames: object stores cannot. What must be there whole or not at all is sealed by its last file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sinks.printable import without_secrets
from streams.checkpoints.sealed import CheckpointError

_FOLDERS_FIRST = {"ftp", "hdfs", "arrow_hdfs", "sftp", "smb", "ssh", "webhdfs"}
"""File systems, and no object stores, in which a folder has to be made before a file in it."""


class DriverMissing(CheckpointError):
    """The URL names a store that is unknown, or whose driver is not installed."""


class StoreUnavailable(CheckpointError):
    """A request to the store failed. It may succeed later."""


class MissingObject(CheckpointError):
    """There is no such file in the store."""


class ObjectStore:
    """Files below one URL, by names with `/` in them. Any thread may use it.

    Raises MissingObject for a file that is not there, StoreUnavailable for anything else that the store does not do.
    """

    def __init__(self, url: str) -> None:
        """Raises DriverMissing. Nothing is asked of the store yet."""
        import fsspec
        from fsspec.core import split_protocol

        self.url = url.rstrip("/") if split_protocol(url)[1].strip("/") else url
        protocol = split_protocol(url)[0] or "file"
        shown = without_secrets(url)
        options = {"auto_mkdir": True} if protocol in {"file", "local"} else {}
        try:
            self._fs, self._root = fsspec.url_to_fs(url, **options)
        except ImportError as error:
            raise DriverMissing(f"{shown}: its driver is not installed: {error}. {_advice(protocol)}") from error
        except ValueError as error:
            raise DriverMissing(
                f"{shown}: {error}. A folder, or s3://bucket/path, gs://…, abfs://… is meant"
            ) from error
        except Exception as error:
            raise StoreUnavailable(f"{shown}: {_said(error)}") from error
        self._makes_folders = protocol in _FOLDERS_FIRST

    def place(self, name: str) -> str:
        """The URL of a file, for people."""
        return f"{without_secrets(self.url)}/{name}"

    def listed(self, name: str) -> dict[str, int | None]:
        """What is directly in a folder: its files with their sizes, its folders with None; nothing where it is not."""
        path = self._path(name)
        try:
            with self._asked(name):
                self._fs.invalidate_cache()  # another machine writes here, too
                entries_here = self._fs.ls(path, detail=True)
        except MissingObject:
            return {}
        entries = {
            entry["name"].rstrip("/").rpartition("/")[2]: None if entry["type"] == "directory" else int(entry["size"])
            for entry in entries_here
            if entry["name"].strip("/") != path.strip("/")
        }
        entries.pop("", None)
        return entries

    def read(self, name: str) -> bytes:
        with self._asked(name):
            content: bytes = self._fs.cat_file(self._path(name))
            return content

    def write(self, name: str, content: bytes) -> None:
        with self._writing(name):
            self._fs.pipe_file(self._path(name), content)

    def upload(self, source: Path, name: str) -> None:
        with self._writing(name):
            self._fs.put_file(str(source), self._path(name))

    def download(self, name: str, target: Path) -> None:
        with self._asked(name):
            self._fs.get_file(self._path(name), str(target))

    def remove(self, name: str) -> None:
        """Removes a file; one that is not there is no error."""
        with suppress(MissingObject), self._asked(name):
            self._fs.rm_file(self._path(name))

    def remove_folder(self, name: str) -> None:
        """Removes an empty folder, where the store has folders at all."""
        with suppress(Exception):
            self._fs.rmdir(self._path(name))

    def _path(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}" if name else self._root

    @contextmanager
    def _writing(self, name: str) -> Iterator[None]:
        try:
            with self._asked(name):
                if self._makes_folders:
                    self._fs.makedirs(self._path(name).rpartition("/")[0], exist_ok=True)
                yield
        except MissingObject as error:
            raise StoreUnavailable(
                f"{self.place(name)}: cannot be written: its bucket or folder is not there"
            ) from error

    @contextmanager
    def _asked(self, name: str) -> Iterator[None]:
        """Drivers raise whatever their own libraries do."""
        try:
            yield
        except FileNotFoundError as error:
            raise MissingObject(f"{self.place(name)}: there is no such file") from error
        except Exception as error:
            raise StoreUnavailable(f"{self.place(name)}: {_said(error)}") from error


def problem_of(url: str) -> str | None:
    """What is wrong with a URL by its form alone, or None; whether the driver is there is seen when it is used."""
    from fsspec.core import split_protocol
    from fsspec.registry import known_implementations

    protocol, path = split_protocol(url)
    if protocol is not None and protocol not in known_implementations:
        return f"{protocol}:// is no store that fsspec knows; a folder, or s3://bucket/path, gs://…, abfs://… is meant"
    if "@" in path.partition("/")[0] and ":" in path.partition("@")[0]:
        return "holds a password: give it to the driver its own way (environment or its configuration file)"
    if not path.strip("/"):
        return "names no folder or bucket"
    return None


def _advice(protocol: str) -> str:
    from fsspec.registry import known_implementations

    module = str(known_implementations.get(protocol, {}).get("class", "")).partition(".")[0]
    package = {"fsspec": "", "": ""}.get(module, module)
    return f"Install it beside creditmeter: pip install {package}" if package else "Install what it names"


def _said(error: BaseException) -> str:
    text: Any = str(error) or repr(error)
    return f"{type(error).__name__}: {text}"
