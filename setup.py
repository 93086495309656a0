"""The parts of the build that pyproject.toml cannot say: the hot modules compiled, and the demo's example in a wheel.

Without a C compiler, Python's headers or mypyc the build says so and leaves the modules to be interpreted: they do the
same, more slowly. The example stays where people look for it, in examples/prices; an editable installation reads it
there.
"""

import os
import runpy
import shutil
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
EXAMPLES = ROOT / "examples" / "prices"
HOT = runpy.run_path(str(ROOT / "metering" / "compiled" / "sources.py"))


class BuildWithExample(build_py):
    """setuptools' build of the packages, with the demo's price book and its events beside `cli/demo/example.py`."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for name in ("pixel.yaml", "pixel.events.ndjson"):
                self.copy_file(str(EXAMPLES / name), str(Path(self.build_lib) / "cli" / "demo" / name))


class BuildWithNote(build_ext):
    """setuptools' build of extension modules; at its end it notes from which sources they are (`metering.compiled`).

    Without that note nothing uses them, so that half a build is as none.
    """

    def run(self) -> None:
        note = Path() if self.inplace else Path(self.build_lib)
        note /= HOT["NOTE"]
        note.unlink(missing_ok=True)
        text = HOT["note_of"](ROOT)
        super().run()
        outputs = [Path() / path if self.inplace else Path(self.build_lib) / path for path in HOT["extensions"]()]
        if self.extensions and all(path.exists() for path in outputs):
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(text, encoding="utf-8")
        elif self.extensions:
            say("the C compiler failed (see above)")


def say(reason: str) -> None:
    sys.stderr.write(f"creditmeter: not compiled, its modules will be interpreted: {reason}\n")


def hot_extensions() -> list[Extension]:
    """The extension modules to be built; none, after a word why, where that is not possible here."""
    os.chdir(ROOT)
    if os.environ.get("CREDITMETER_INTERPRETED", "0") not in {"", "0"}:
        say("CREDITMETER_INTERPRETED is set")
        return []
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    compiler = os.environ.get("CC", compiler).split()[0]
    if shutil.which(compiler) is None:
        say(f"there is no C compiler {compiler!r} (Debian: apt install gcc python3-dev)")
        return []
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        say("Python.h is missing (Debian: apt install python3-dev)")
        return []
    try:
        from mypyc.build import mypycify  # noqa: PLC0415 - only where something is compiled
    except ImportError as error:
        say(f"mypyc is missing: {error}")
        return []
    options = [*HOT["OPTIONS"], "--cache-dir=build/mypy"]
    paths = [HOT["source_of"](module) for module in HOT["MODULES"]]
    try:
        made = mypycify([*options, *paths], opt_level="3", debug_level="0", group_name=HOT["GROUP"])
    except SystemExit:
        say("mypyc refused the sources (see above)")
        return []
    for extension in made:
        extension.optional = True  # a compiler that fails fails no installation
        extension.extra_compile_args.append("-Wno-error")
    return made


if __name__ == "__main__":
    setup(
        cmdclass={"build_py": BuildWithExample, "build_ext": BuildWithNote},
        ext_modules=hot_extensions() if {"build_ext", "bdist_wheel", "editable_wheel", "build"} & set(sys.argv) else [],
    )
