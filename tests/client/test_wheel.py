"""The wheel, built and installed alone: nothing of the repository and no other package is needed."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import asyncio, sys
sys.path.insert(0, sys.argv[1])
from creditmeter_client import Meter, Usage
from creditmeter_client.middleware import CreditMiddleware, MiddlewareSettings, WsgiCreditMiddleware
from creditmeter_client.testing import MemoryTransport, Price
transport = MemoryTransport({"/v1/people": Price(2, per="results")}, {"acme": {"credit": 100}})
with Meter(transport) as meter:
    meter.record(account_id="acme", endpoint="/v1/people", quantities={"results": 1})
    assert meter.decide(account_id="acme", endpoint="/v1/people", quantities={"results": 3}, wait=60).credits == 6
assert transport.balance("acme") == 92

def describe(call):
    return call.usage("acme", call.path, quantities={"results": 1})
settings = MiddlewareSettings(describe, wait=60.0)
body = [(b"content-type", b"application/json"), (b"content-length", b"2")]
sent = []
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": body})
    await send({"type": "http.response.body", "body": b"{}"})
async def send(message):
    sent.append(message.get("body"))
scope = {"type": "http", "method": "GET", "path": "/v1/people", "headers": [(b"credit-usage", b"true")]}
with Meter(transport) as meter:
    asyncio.run(CreditMiddleware(app, meter=meter, settings=settings)(scope, None, send))
    def wsgi_app(environ, start_response):
        start_response("200 OK", [(name.decode(), value.decode()) for name, value in body])
        return [b"{}"]
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/v1/people", "HTTP_CREDIT_USAGE": "true"}
    wsgi = WsgiCreditMiddleware(wsgi_app, meter=meter, settings=settings)
    sent.append(b"".join(wsgi(environ, lambda *_: None)))
told = b'{"credit_usage":{"total_results":1,"total_credits":2}}'
assert sent == [None, told, told], sent
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


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """A folder with the wheel alone, as pip installs it."""
    folder = wheel.parent / "installed"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--target", str(folder), str(wheel)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_installed_alone_it_needs_nothing_else(installed: Path) -> None:
    assert {path.name.partition("-")[0] for path in installed.iterdir()} == {"creditmeter_client"}
    (client,) = importlib.metadata.distributions(name="creditmeter-client", path=[str(installed)])
    assert client.metadata["Requires-Python"] == ">=3.10"
    assert [name for name in client.requires or () if "extra ==" not in name] == []


def pythons() -> Iterator[tuple[str, str]]:
    """Every version from 3.10 to 3.13 that this machine has, on the path or by pyenv; the present one always."""
    by_pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for minor in (10, 11, 12, 13):
        here = [sys.executable] if sys.version_info.minor == minor else []
        for path in [*here, shutil.which(f"python3.{minor}"), *by_pyenv.glob(f"3.{minor}.*/bin/python")]:
            asked = [] if path is None else [str(path), "--version"]
            # A name on the path may be a shim that leads nowhere.
            shown = subprocess.run(asked, capture_output=True, text=True).stdout.strip() if asked else ""
            if shown.startswith(f"Python 3.{minor}."):
                yield shown, str(path)
                break


@pytest.mark.slow
def test_alone_it_records_decides_and_tells_on_every_python_that_is_there(installed: Path) -> None:
    tried = []
    for version, python in pythons():
        ran = subprocess.run([python, "-I", "-S", "-c", PROGRAM, str(installed)], capture_output=True, text=True)
        assert (ran.returncode, ran.stdout) == (0, "[]\n"), f"{version}: {ran.stderr}"
        tried.append(version)
    print(f"tried on {', '.join(tried)}")
    assert any(version == f"Python {sys.version.split()[0]}" for version in tried)
