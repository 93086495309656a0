"""What tests/conftest.py promises: a marker on every test that uses a service, and no service skipped silently."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from local.shared import SharedKafka

ROOT = Path(__file__).parents[2]


def run_pytest(folder: Path, test: str, **env: str) -> str:
    """Runs one test with the project's conftest and settings; returns what pytest said."""
    (folder / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (folder / "test_it.py").write_text(f"import os\nimport pytest\n{test}")
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(folder)]
    command += ["-p", "no:cacheprovider", str(folder)]
    done = subprocess.run(command, cwd=folder, env={**os.environ, **env}, capture_output=True, text=True)
    return f"exit code {done.returncode}\n{done.stdout}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fixture", "marker"),
    [
        ("kafka", "kafka"),
        ("own_kafka", "kafka"),
        ("clickhouse_server", "clickhouse_server"),
        ("own_clickhouse", "clickhouse_server"),
    ],
)
def test_a_test_without_the_marker_fails_and_says_which(tmp_path: Path, fixture: str, marker: str) -> None:
    said = run_pytest(tmp_path, f"def test_it({fixture}): pass\n")
    assert said.startswith("exit code 1")
    assert f"uses the fixture '{fixture}': add @pytest.mark.{marker} to the test" in said


@pytest.mark.slow
def test_a_service_that_cannot_be_had_fails_the_test_with_the_reason(tmp_path: Path) -> None:
    nothing = {"PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "DOCKER_HOST": f"unix://{tmp_path}/no.sock"}
    said = run_pytest(tmp_path, "@pytest.mark.kafka\ndef test_it(kafka): pass\n", **nothing)
    assert said.startswith("exit code 1")
    assert "Kafka is needed and cannot be had here" in said
    assert "skipped" not in said


@pytest.mark.slow
def test_the_configuration_of_whoever_runs_the_tests_stays_out(tmp_path: Path) -> None:
    said = run_pytest(
        tmp_path,
        "def test_it(): assert {n for n in os.environ if n.startswith('CREDITMETER_')} == {'CREDITMETER_TEST_X',"
        " 'CREDITMETER_INTERPRETED'}\n",
        CREDITMETER_BOOTSTRAP_SERVERS="production:9092",
        CREDITMETER_TEST_X="1",
        CREDITMETER_INTERPRETED="1",
    )
    assert "1 passed" in said


@pytest.mark.kafka
def test_each_prefix_is_fresh(kafka: SharedKafka) -> None:
    assert kafka.fresh_prefix() != kafka.fresh_prefix()
    assert kafka.bootstrap
