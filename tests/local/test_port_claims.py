"""A free port is claimed by one process at a time."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from local.port_claims import PortClaims
from local.ports import free_ports

CLAIM = "import sys; from local.port_claims import PortClaims; print(PortClaims().claim(int(sys.argv[1])))"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def elsewhere(port: int) -> str:
    """What another process of this user is told."""
    command = [sys.executable, "-c", CLAIM, str(port)]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2]).stdout


def test_a_free_port_is_claimed_by_one_process_until_it_ends() -> None:
    (port,) = free_ports(1)
    assert elsewhere(port) == "True\n"
    claims = PortClaims()  # the other process has ended
    assert claims.claim(port)
    assert claims.claim(port)
    assert not PortClaims().claim(port)
    assert elsewhere(port) == "False\n"


def test_a_port_that_somebody_listens_on_is_not_claimed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not PortClaims().claim(port)
    assert PortClaims().claim(port)


def test_where_nothing_can_be_kept_what_is_free_is_taken(tmp_path: Path) -> None:
    (tmp_path / "creditmeter").write_text("a file where the folder would be")
    (port,) = free_ports(1)
    assert PortClaims().claim(port)
