"""The wheel, built and installed alone: nothing of the repository and no other package is needed."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from creditmeter_client import Meter, Usage
from creditmeter_client.middleware import CreditMiddleware, WsgiCreditMiddleware
from creditmeter_client.testing import MemoryTransport, Price
transport = MemoryTransport({"/v1/people": Price(2, per="results")}, {"acme": {"credit": 100}})
with Meter(transport) as meter:
    meter.record(account_id="acme", endpoint="/v1/people", quantities={"results": 1})
    assert meter.decide(account_id="acme", endpoint="/v1/people", quantities={"results": 3}, wait=60).credits == 6
assert transport.balance("acme") == 92
print(sorted(name for name in sys.modules if name.partition(".")[0] not in sys.stdlib_module_names
             and not name.startswith(("creditmeter_client", "__main__"))))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in ("client", "schemas"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("*.egg-info", "__pycache__", "build"))
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder / "dist"), str(source / "client")]
    built = subprocess.run(build, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = (folder / "dist").glob("*.whl")
    return path


@pytest.mark.slow
def test_it_carries_its_types_and_the_schemas_that_it_needs(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "creditmeter_client/py.typed" in names
    history = {f"history/{path.name}" for path in (ROOT / "schemas" / "history").glob("BilledBatch.*.avsc")}
    for name in {"RequestBatch.avsc", "RefundRequest.avsc", "BilledBatch.avsc", *history}:
        assert f"creditmeter_client/kafka/schemas/{name}" in names
    assert {name.partition("/")[0] for name in names if ".dist-info" not in name} == {"creditmeter_client"}


@pytest.mark.slow
def test_alone_it_records_and_decides_on_every_python_that_is_there(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    others = [shutil.which(f"python3.{minor}") for minor in (10, 12, 13)]
    for python in filter(None, [sys.executable, *others]):
        version = subprocess.run([python, "--version"], capture_output=True, text=True)
        if version.returncode or not re.match(r"Python 3\.1[0-9]", version.stdout):
            continue  # a name on the path behind which there is no such Python
        ran = subprocess.run([python, "-I", "-S", "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True)
        assert (ran.returncode, ran.stdout) == (0, "[]\n"), f"{version.stdout}: {ran.stderr}"
