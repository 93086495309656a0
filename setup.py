"""The parts of the build that pyproject.toml cannot say: a wheel carries the example that `python -m cli.demo` reads.

The example stays where people look for it, in examples/prices. An editable installation reads it there.
"""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

EXAMPLES = Path(__file__).parent / "examples" / "prices"


class BuildWithExample(build_py):
    """setuptools' build of the packages, with the demo's price book and its events beside `cli/demo/example.py`."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for name in ("pixel.yaml", "pixel.events.ndjson"):
                self.copy_file(str(EXAMPLES / name), str(Path(self.build_lib) / "cli" / "demo" / name))


if __name__ == "__main__":
    setup(cmdclass={"build_py": BuildWithExample})
