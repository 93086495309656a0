"""The broker's jars: fetched once for each user by Maven, kept in the cache folder."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from local.process import ServerFailed

POM = Path(__file__).with_name("kafka") / "pom.xml"


def cache_folder() -> Path:
    """Where this user's fetched jars are: below $XDG_CACHE_HOME, else ~/.cache."""
    root = os.environ.get("XDG_CACHE_HOME") or ""
    base = Path(root) if Path(root).is_absolute() else Path.home() / ".cache"
    return base / "creditmeter"


def jars_folder(pom: Path = POM) -> Path:
    """Where the jars that `pom` names belong. Another pom is another folder, so an upgrade never mixes versions."""
    return cache_folder() / f"kafka-{hashlib.sha256(pom.read_bytes()).hexdigest()[:16]}"


def fetched(pom: Path = POM) -> bool:
    """Whether the jars are at hand, so that Maven is not needed."""
    return jars_folder(pom).is_dir()


def fetch(pom: Path = POM) -> Path:
    """The folder with the jars, fetched first where they are not there yet. Raises ServerFailed with Maven's words."""
    folder = jars_folder(pom)
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        # Two starts at once: the second waits here and finds the first one's jars. A lock ends with its process.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            _fetch_into(folder, pom)
    return folder


def _fetch_into(folder: Path, pom: Path) -> None:
    """Fetches beside `folder` and renames at the end, so that a folder which is there is whole."""
    say(f"Fetching the Kafka broker's jars with Maven into {folder} (43 MB, once) ...")
    maven = shutil.which("mvn")
    if maven is None:
        raise ServerFailed(
            "Maven (mvn) was not found; it fetches the Kafka broker: install it (Debian: apt install maven)"
        )
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}.part-") as part:
        jars = Path(part) / "jars"
        command = [maven, "-q", "-B", "-f", str(pom), "dependency:copy-dependencies"]
        command += [f"-DoutputDirectory={jars}", "-DincludeScope=runtime"]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode != 0 or not any(jars.glob("kafka_*.jar")):
            raise ServerFailed(f"Maven could not fetch the Kafka broker (exit code {done.returncode}):\n{done.stdout}")
        jars.rename(folder)
    say("The Kafka broker's jars are fetched.")


def say(text: str) -> None:
    """One line for people about what goes on."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - progress belongs on standard error
