"""`python -m local.vendored`: fetches the vendored front-end files again from npm, by name and version, and compares.

A folder of vendored files has a manifest.json: of each package its name, version, licence and files, each with the path
in the package, the name here and its SHA-256. `check` needs no network, `compare` needs npm. With `--write`, files that
are missing or differ are written anew; the checksum in the manifest still has to be right.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from local.cache import print_progress
from local.process import ServerFailed

ROOT = Path(__file__).parents[1]
FOLDERS = (ROOT / "server/pages/static/vendor", ROOT / "tests/server/pages/vendor")
MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class VendoredFile:
    """One file of a package: `source` is its path there, `path` where it lies here."""

    package: str
    version: str
    licence: str
    source: str
    path: Path
    sha256: str

    def problem_of(self, content: bytes) -> str | None:
        """Why this content is not the file; None where it is."""
        digest = hashlib.sha256(content).hexdigest()
        return None if digest == self.sha256 else f"SHA-256 is {digest}, the manifest says {self.sha256}"


def files_of(folder: Path) -> Iterator[VendoredFile]:
    """The files that a folder's manifest lists."""
    for package in json.loads((folder / MANIFEST).read_text(encoding="utf-8")):
        for file in package["files"]:
            yield VendoredFile(
                package["package"], package["version"], package["licence"], file["from"], folder / file["as"],
                file["sha256"],
            )  # fmt: skip


def check(folder: Path) -> list[str]:
    """What is wrong with a folder: files that differ from the manifest, are missing, or are not in it."""
    problems, known = [], {folder / MANIFEST}
    for file in files_of(folder):
        known.add(file.path)
        if not file.path.is_file():
            problems.append(f"{file.path.name}: is missing")
        elif (why := file.problem_of(file.path.read_bytes())) is not None:
            problems.append(f"{file.path.name}: {why}")
    return problems + [f"{path.name}: is not in the manifest" for path in folder.iterdir() if path not in known]


def compare(folder: Path, *, write: bool = False) -> list[str]:
    """Fetches the packages and compares each file with the manifest. Raises ServerFailed where npm cannot fetch."""
    problems = []
    files = list(files_of(folder))
    for name in sorted({f"{file.package}@{file.version}" for file in files}):
        print_progress(f"Fetching {name} from npm ...")
        with tempfile.TemporaryDirectory() as scratch, tarfile.open(_packed(name, Path(scratch))) as archive:
            for file in files:
                if f"{file.package}@{file.version}" != name:
                    continue
                member = archive.extractfile(f"package/{file.source}")
                content = b"" if member is None else member.read()
                if (why := file.problem_of(content)) is not None:
                    problems.append(f"{file.source} of {name}: {why}")
                elif write:
                    file.path.write_bytes(content)
    return problems + check(folder)


def _packed(name: str, folder: Path) -> Path:
    """The package's archive. Raises ServerFailed."""
    if (npm := shutil.which("npm")) is None:
        raise ServerFailed("npm was not found: install Node.js to fetch vendored files again")
    run = subprocess.run(
        [npm, "pack", "--silent", name],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if run.returncode != 0:
        raise ServerFailed(f"npm could not fetch {name}:\n{run.stderr}")
    return next(folder.glob("*.tgz"))


def main(arguments: Sequence[str]) -> int:
    """Prints what differs, on standard error. Exit code 1 where anything does."""
    if arguments not in ([], ["--write"]):
        print_progress("usage: python -m local.vendored [--write]")
        return 2
    try:
        problems = [
            problem for folder in FOLDERS if folder.is_dir() for problem in compare(folder, write=bool(arguments))
        ]
    except ServerFailed as error:
        print_progress(str(error))
        return 1
    for problem in problems:
        print_progress(problem)
    print_progress("Vendored files differ." if problems else "All vendored files are those of their packages.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
