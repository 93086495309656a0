"""Jars, the Kafka broker's first of all: fetched once for each user by Maven, kept in the cache folder."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from local.cache import cache_folder, fetch_once, print_progress
from local.process import ServerFailed

POM = Path(__file__).with_name("kafka") / "pom.xml"

# Java reads file names by the locale, and in the plain C locale it can open none that is not ASCII.
JAVA_ENVIRONMENT = {"LC_ALL": "C.UTF-8"}


def jars_folder(pom: Path = POM, name: str = "kafka") -> Path:
    """Where the jars that `pom` names belong. Another pom is another folder, so an upgrade never mixes versions."""
    return cache_folder() / f"{name}-{hashlib.sha256(pom.read_bytes()).hexdigest()[:16]}"


def fetched(pom: Path = POM) -> bool:
    """Whether the jars are in the cache, so that Maven is not needed."""
    return jars_folder(pom).is_dir()


def fetch(pom: Path = POM, name: str = "kafka", title: str = "the Kafka broker", megabytes: int = 43) -> Path:
    """Returns the folder with the jars, fetched first where needed. Raises ServerFailed with Maven's own message.

    The folder's name begins with `name`; `title` and `megabytes` are for the messages.
    """
    return fetch_once(jars_folder(pom, name), lambda part: _fetch_into(part, pom, title, megabytes))


def _fetch_into(folder: Path, pom: Path, title: str, megabytes: int) -> None:
    print_progress(f"Fetching {title}'s jars with Maven into {cache_folder()} ({megabytes} MB, once) ...")
    maven = shutil.which("mvn")
    if maven is None:
        raise ServerFailed(f"Maven (mvn) was not found; it fetches {title}: install it (Debian: apt install maven)")
    command = [maven, "-q", "-B", "-f", str(pom), "dependency:copy-dependencies"]
    command += [f"-DoutputDirectory={folder}", "-DincludeScope=runtime"]
    environment = {**os.environ, **JAVA_ENVIRONMENT}
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, env=environment
    )
    if done.returncode != 0 or not any(folder.glob("*.jar")):
        raise ServerFailed(f"Maven could not fetch {title} (exit code {done.returncode}):\n{done.stdout}")
    print_progress(f"{title[:1].upper()}{title[1:]}'s jars are fetched.")
