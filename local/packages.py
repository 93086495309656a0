"""Debian packages for a user who is not root: fetched with what they depend on, and unpacked in the cache folder.

apt-get decides what is to be fetched, by the machine's own sources and by what is installed, and checks signatures and
checksums. It works on package lists of its own, so it neither needs root nor changes anything outside the cache folder.
"""

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local.cache import cache_folder, fetch_once, print_progress
from local.process import ServerFailed

TOOLS = ("apt-get", "dpkg-deb")
PROGRAM_FOLDERS = ("usr/sbin", "usr/bin", "sbin", "bin")
LIBRARY_FOLDERS = ("usr/lib", "lib")

_OPTIONS = {
    "APT::Sandbox::User": "root",  # root downloads as itself: the user _apt cannot enter a cache folder in /root
    "Debug::NoLocking": "1",  # nothing of the machine is written, and only root may lock its package database
    "Acquire::Languages": "none",
    "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",  # descriptions for software centres
    "Acquire::Retries": "2",
    "Acquire::http::Timeout": "30",
    "Acquire::https::Timeout": "30",
}


@dataclass(frozen=True, slots=True)
class UnpackedPackages:
    """Packages whose files are below `root` instead of below /. Their installation scripts have not been run."""

    root: Path

    def program(self, name: str) -> Path | None:
        """The program `name` in one of the usual folders, None where no package has it."""
        paths = (self.root / folder / name for folder in PROGRAM_FOLDERS)
        return next((path for path in paths if path.is_file()), None)

    def library_path(self) -> list[Path]:
        """Every folder below `root` that holds shared libraries, the outer ones first."""
        libraries = (path for folder in LIBRARY_FOLDERS for path in (self.root / folder).rglob("lib*.so*"))
        return sorted({library.parent for library in libraries}, key=lambda folder: (len(folder.parts), folder))

    def environment(self) -> dict[str, str]:
        """The environment variables with which a program of these packages finds their libraries."""
        folders = [str(folder) for folder in self.library_path()]
        inherited = os.environ.get("LD_LIBRARY_PATH")
        return {"LD_LIBRARY_PATH": ":".join([*folders, inherited] if inherited else folders)}


def packages_folder(*names: str) -> Path:
    """Where these packages belong. Another release of the system is another folder: its libraries are others."""
    try:
        system = platform.freedesktop_os_release()
    except OSError:
        system = {}
    release = f"{system.get('ID', 'linux')}-{system.get('VERSION_ID', 'unknown')}-{platform.machine()}"
    return cache_folder() / f"packages-{'-'.join(names)}-{release}"


def fetched(*names: str) -> bool:
    """Whether these packages are in the cache, so that nothing is needed to use them."""
    return packages_folder(*names).is_dir()


def missing_tools() -> str | None:
    """None where packages can be fetched; else which program is missing."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    return f"{' and '.join(missing)} not found: this is no Debian or Ubuntu" if missing else None


def fetch(*names: str) -> UnpackedPackages:
    """Returns the packages, fetched first where they are not in the cache, and says so on standard error.

    Raises ServerFailed with apt-get's own message when it cannot fetch them.
    """
    folder = fetch_once(packages_folder(*names), lambda part: _fetch_into(part, names))
    return UnpackedPackages(folder / "root")


def _fetch_into(folder: Path, names: tuple[str, ...]) -> None:
    """Fills `folder` with `root`, the unpacked files, and packages.txt, the names of the packages with their versions.

    1. fetches the package lists, 2. asks which packages are needed, 3. fetches them, 4. unpacks them.
    """
    wanted = " ".join(names)
    if (why := missing_tools()) is not None:
        raise ServerFailed(f"The packages {wanted} cannot be fetched: {why}")
    apt = folder / "apt"
    archives = apt / "cache" / "archives"
    for needed in (archives / "partial", apt / "lists" / "partial"):
        needed.mkdir(parents=True)
    print_progress(f"Fetching {wanted} with apt-get into {cache_folder()} (once, without root): package lists ...")
    # A source that fails may be one that is not needed. What is needed and missing shows in the next step.
    update = _run_apt(apt, "update")
    plan = _run_apt(apt, "install", "--print-uris", "-qq", *names)
    if plan.returncode != 0:
        raise _failure(wanted, update, plan)
    sizes = [int(size) for size in re.findall(r"^'.*' \S+ (\d+) ", plan.stdout, re.MULTILINE)]
    if not sizes:
        raise ServerFailed(f"apt-get has nothing to fetch for {wanted}: it is installed already")
    print_progress(f"Fetching {len(sizes)} packages, {sum(sizes) / 1e6:.1f} MB ...")
    download = _run_apt(apt, "install", "--download-only", *names)
    if download.returncode != 0:
        raise _failure(wanted, update, download)
    root = folder / "root"
    root.mkdir()
    packages = sorted(archives.glob("*.deb"))
    for package in packages:
        unpacked = _run(["dpkg-deb", "--extract", str(package), str(root)])
        if unpacked.returncode != 0:
            raise ServerFailed(f"{package.name} could not be unpacked:\n{unpacked.stderr}")
    (folder / "packages.txt").write_text("".join(f"{package.stem}\n" for package in packages), encoding="utf-8")
    shutil.rmtree(apt)
    print_progress(f"{wanted} is fetched.")


def _run_apt(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Runs apt-get with lists and archives in `folder`, and everything else as the machine has it."""
    places = {"Dir::State::Lists": str(folder / "lists"), "Dir::Cache": str(folder / "cache")}
    options = [f"-o{name}={value}" for name, value in {**_OPTIONS, **places}.items()]
    return _run(["apt-get", *options, "--yes", "--no-install-recommends", *arguments], {"LC_ALL": "C.UTF-8"})


def _run(command: list[str], environment: Mapping[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        env={**os.environ, **(environment or {})},
    )


def _failure(wanted: str, *runs: "subprocess.CompletedProcess[str]") -> ServerFailed:
    """The error to raise, with what apt-get complained of in these runs."""
    complaints = [line for run in runs for line in run.stderr.splitlines() if line.startswith(("E:", "W:", "Err"))]
    lines = "\n".join(f"    {line}" for line in dict.fromkeys(complaints)) or "    (apt-get gave no reason)"
    return ServerFailed(f"The packages {wanted} could not be fetched without root; apt-get says:\n{lines}")
