"""Compiles Java with a compiler that runs on a Java runtime alone, since Debian's *-jre-headless brings none."""

import os
import shutil
import subprocess
from pathlib import Path

from local import jars
from local.process import ServerFailed

POM = Path(__file__).with_name("java_compiler.xml")
ENVIRONMENT = {**os.environ, **jars.JAVA_ENVIRONMENT}  # Java reads its arguments by the locale


def compile_java(source: Path, classes: Path, libraries: Path) -> str:
    """Compiles one file into the folder `classes`, with the jars in `libraries`; returns the path of `java`.

    Raises ServerFailed with what the compiler said, warnings too, or where Java or the compiler cannot be had.
    """
    java = shutil.which("java")
    if java is None:
        raise ServerFailed("Java was not found: install 17 or newer (Debian: apt install openjdk-17-jre-headless)")
    compiler = jars.fetch(POM, "java-compiler", "the Java compiler", 4)
    command = [java, "-jar", str(next(compiler.glob("ecj-*.jar"))), "--release", "17", "-encoding", "UTF-8"]
    done = subprocess.run(
        [*command, "-cp", class_path(libraries), "-d", str(classes), str(source)],
        capture_output=True,
        text=True,
        check=False,
        env=ENVIRONMENT,
    )
    if (done.returncode, done.stderr) != (0, ""):
        raise ServerFailed(f"{source.name} could not be compiled (exit code {done.returncode}):\n{done.stderr}")
    return java


def class_path(libraries: Path, *folders: Path) -> str:
    """What `java -cp` takes: the folders first, then each jar in `libraries`."""
    return ":".join(map(str, [*folders, *sorted(libraries.glob("*.jar"))]))
