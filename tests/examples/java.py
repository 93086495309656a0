"""Compiles the Java examples with a compiler that runs on a Java runtime alone: `make test` needs no more."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from local import jars

ENVIRONMENT = {**os.environ, **jars.JAVA_ENVIRONMENT}  # Java reads its arguments by the locale


def compiled(folder: Path, project: Path, name: str, cache: str, megabytes: int) -> list[str]:
    """The command that runs the class `name` of a Maven project, compiled into `folder`.

    The jars that the project names are fetched into the cache folder `cache`, `megabytes` large.
    """
    java = shutil.which("java")
    if java is None:
        pytest.fail("Java was not found: install 17 or newer (Debian: apt install openjdk-17-jre-headless)")
    libraries = jars.fetch(project / "pom.xml", cache, f"the Java example {name}", megabytes)
    compiler = jars.fetch(Path(__file__).with_name("compiler.xml"), "java-compiler", "the Java compiler", 4)
    classes = folder / "classes"
    sources = project / "src" / "main"
    classpath = ":".join(map(str, libraries.glob("*.jar")))
    compile_ = [java, "-jar", str(next(compiler.glob("ecj-*.jar"))), "--release", "17", "-encoding", "UTF-8"]
    done = subprocess.run(
        [*compile_, "-cp", classpath, "-d", str(classes), str(sources / "java" / f"{name}.java")],
        capture_output=True, text=True, env=ENVIRONMENT,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return [java, "-cp", f"{classes}:{sources / 'resources'}:{classpath}", name]
