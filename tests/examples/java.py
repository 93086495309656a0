"""Compiles the Java examples with a compiler that runs on a Java runtime alone: `make test` needs no more."""

from pathlib import Path

from local import jars
from local.java_compiler import ENVIRONMENT, class_path, compile_java

__all__ = ["ENVIRONMENT", "compiled"]


def compiled(folder: Path, project: Path, name: str, cache: str, megabytes: int) -> list[str]:
    """The command that runs the class `name` of a Maven project, compiled into `folder`.

    The jars that the project names are fetched into the cache folder `cache`, `megabytes` large.
    """
    libraries = jars.fetch(project / "pom.xml", cache, f"the Java example {name}", megabytes)
    sources = project / "src" / "main"
    classes = folder / "classes"
    java = compile_java(sources / "java" / f"{name}.java", classes, libraries)
    return [java, "-cp", class_path(libraries, classes, sources / "resources"), name]
