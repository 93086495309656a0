"""What docker-compose.yml and Dockerfile mean, as far as that shows without an engine; `make lint` holds their form."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from application.configuration.settings import Settings
from cli.main import COMMANDS
from local import containers, jars

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = sorted(name for name, service in SERVICES.items() if service["image"].startswith("creditmeter:"))
ONE_SHOT = sorted(name for name, service in SERVICES.items() if service.get("restart") == "no")
DOCKERFILE = (ROOT / "Dockerfile").read_text()

every_service = pytest.mark.parametrize("name", sorted(SERVICES))
each_of_ours = pytest.mark.parametrize("name", OURS)


def waits_for(name: str) -> dict[str, str]:
    """What a service depends on -> the condition."""
    return {other: how["condition"] for other, how in SERVICES[name].get("depends_on", {}).items()}


@every_service
def test_image_is_pinned(name: str) -> None:
    assert re.search(r":\d+\.\d+\.\d+", SERVICES[name]["image"])


@every_service
def test_runs_as_nobody_special(name: str) -> None:
    assert str(SERVICES[name]["user"]).partition(":")[0] not in {"", "0", "root"}


@every_service
def test_ports_are_open_to_this_machine_only(name: str) -> None:
    assert all(str(port).startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@every_service
def test_up_wait_ends_when_all_is_well(name: str) -> None:
    # `up --wait` takes a service that ended for a failure, unless a running one waits for its success.
    if name in ONE_SHOT:
        waiting = [other for other in SERVICES if waits_for(other).get(name) == "service_completed_successfully"]
        assert set(waiting) - set(ONE_SHOT)
    else:
        assert SERVICES[name]["healthcheck"]["test"]
    for other, condition in waits_for(name).items():
        assert condition == ("service_completed_successfully" if other in ONE_SHOT else "service_healthy")


@every_service
def test_volumes_are_named(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        assert volume.partition(":")[0] in COMPOSE["volumes"]


@each_of_ours
def test_settings_are_those_of_the_configuration(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in SERVICES[name]["environment"].items():
        field = variable.removeprefix("CREDITMETER_").lower()
        assert variable.startswith("CREDITMETER_")
        assert field in Settings.model_fields
        # As compose reads it in an empty environment: ${NAME:-default}.
        monkeypatch.setenv(variable, re.sub(r"\$\{\w+:-(.*?)\}", r"\1", value))
    settings = Settings()
    assert settings.contradictions() == []
    assert settings.clickhouse_host in SERVICES
    broker, _, port = (settings.bootstrap_servers or "").partition(":")
    assert f"INSIDE://{broker}:{port}" in SERVICES[broker]["environment"]["KAFKA_ADVERTISED_LISTENERS"]


@each_of_ours
def test_command_exists(name: str) -> None:
    assert SERVICES[name]["command"][0] in COMMANDS


@each_of_ours
def test_data_is_in_the_volume(name: str) -> None:
    folder = SERVICES[name]["environment"]["CREDITMETER_DATA_DIR"]
    assert f"VOLUME {folder}" in DOCKERFILE
    if name not in ONE_SHOT:
        assert [volume.partition(":")[2] for volume in SERVICES[name]["volumes"]] == [folder]


def test_health_is_asked_at_the_port_that_the_settings_open() -> None:
    for name in set(OURS) - set(ONE_SHOT):
        setting = "CREDITMETER_SERVE_PORT" if name == "server" else "CREDITMETER_METRICS_PORT"
        # One after the other on one machine: a worker's process, the loader, the deliverer.
        port = int(SERVICES[name]["environment"][setting]) + {"loader": 1, "deliverer": 2}.get(name, 0)
        assert f":{port}/health" in SERVICES[name]["healthcheck"]["test"][-1]


def test_clickhouse_lets_our_user_in() -> None:
    server = SERVICES["clickhouse"]["environment"]
    for name in OURS:
        ours = SERVICES[name]["environment"]
        for word in ("USER", "PASSWORD"):
            assert ours[f"CREDITMETER_CLICKHOUSE_{word}"] == server[f"CLICKHOUSE_{word}"]
        assert ours["CREDITMETER_CLICKHOUSE_DATABASE"] == server["CLICKHOUSE_DB"]


def test_the_same_servers_as_in_the_tests() -> None:
    assert SERVICES["kafka"]["image"] == containers.KAFKA_IMAGE
    assert SERVICES["clickhouse"]["image"] == containers.CLICKHOUSE_IMAGE
    version = containers.KAFKA_IMAGE.rpartition(":")[2]
    assert f"<artifactId>kafka_2.13</artifactId>\n      <version>{version}</version>" in jars.POM.read_text()


def test_the_image_is_pinned_runs_as_our_user_and_holds_every_package() -> None:
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+", bases[0])
    assert re.findall(r"^USER (.+)", DOCKERFILE, re.MULTILINE)[-1] not in {"root", "0"}
    (uid,) = re.findall(r"--uid (\d+)", DOCKERFILE)
    assert {SERVICES[name]["user"] for name in OURS} == {uid}
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert {name.rstrip("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]} <= sent
    assert {"pyproject.toml", "setup.py", "constraints.txt", "examples"} <= sent
    assert {project["project"]["readme"], *project["project"]["license-files"]} <= sent
    assert SERVICES[OURS[0]]["image"] == f"creditmeter:{project['project']['version']}"
