"""Quix Streams as a contestant: its libraries by pip into the cache folder, apart from this project's."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from bench.contest import Place, Start
from local.cache import cache_folder, fetch_once, print_progress
from local.process import ServerFailed
from streams.log.topics import TopicNames

FOLDER = Path(__file__).with_name("quix")
REQUIREMENTS = FOLDER / "requirements.txt"
ROOT = Path(__file__).parents[2]
MEGABYTES = 106


def prepare() -> Path:
    """Returns the folder with Quix Streams and all that it needs, fetched first where it is not in the cache.

    It wants an older Kafka client than this project, so it cannot be one of its extras. Raises ServerFailed with pip's
    own message, and what to do.
    """
    digest = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:16]
    return fetch_once(cache_folder() / f"quix-streams-{digest}", _install)


def quix_streams() -> Start:
    """The contestant; `prepare` was called before."""

    def start(place: Place, prefix: str) -> tuple[list[str], dict[str, str], Path | None]:
        names = TopicNames(prefix)
        # -S: without the packages of this Python's environment, among which the project's own would be.
        command = [sys.executable, "-S", str(FOLDER / "credit_meter.py"), place.bootstrap, names.requests, names.billed]
        command += [f"{prefix}-quix", str(place.folder / prefix), str(ROOT / "schemas")]
        return command, {"PYTHONPATH": f"{prepare()}:{ROOT}"}, None

    return start


def _install(folder: Path) -> None:
    print_progress(f"Fetching Quix Streams with pip into {cache_folder()} ({MEGABYTES} MB, once) ...")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--target", str(folder), "-r", str(REQUIREMENTS)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise ServerFailed(
            f"pip could not fetch Quix Streams (exit code {done.returncode}); see that it reaches its package index, "
            f"or leave out --peers:\n{done.stdout}"
        )
    print_progress("Quix Streams is fetched.")
