"""What pyproject.toml cannot say about the build: a wheel carries the schemas that `creditmeter_client.kafka` reads.

They stay where the pipeline has them. An editable installation reads them there.
"""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SCHEMAS = Path(__file__).resolve().parent.parent / "schemas"
NAMES = ("RequestBatch", "RefundRequest", "BilledBatch")


class BuildWithSchemas(build_py):
    """setuptools' build of the packages, with the schemas that are written and every version that is read."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / "creditmeter_client" / "kafka" / "schemas"
        self.mkpath(str(target / "history"))
        for name in NAMES:
            self.copy_file(str(SCHEMAS / f"{name}.avsc"), str(target / f"{name}.avsc"))
        for path in sorted((SCHEMAS / "history").glob("BilledBatch.*.avsc")):
            self.copy_file(str(path), str(target / "history" / path.name))


if __name__ == "__main__":
    setup(cmdclass={"build_py": BuildWithSchemas})
