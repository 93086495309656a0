"""Loading the configuration: where each value came from, and all mistakes at once with the place of each."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError

from application.configuration.settings import DEFAULT_FILE, ENV_PREFIX, Settings, checked_secret_keys
from application.configuration.toml_file import ConfigFileError, Entry, read_config_file
from application.errors import Misconfigured
from local.record import Record
from sinks.printable import MASK, without_secrets

# Variables with our prefix that are no settings: they steer the project's own tests, tools and examples, and how its
# modules are loaded (`metering.compiled`).
NOT_SETTINGS_PREFIXES = ("CREDITMETER_TEST_", "CREDITMETER_BENCH_", "CREDITMETER_INTERPRETED")
_ADDRESSES = ("bootstrap_servers",)
UP_RECORD = "up.json"
"""In the data directory: which process `creditmeter up` is."""
RUN_RECORD = "run.json"
"""In the data directory: the addresses of what it runs."""
SECRET_FILE = "secret.key"  # noqa: S105 -- a file's name
"""In the data directory: the secret_key that `creditmeter up` made, where none is configured."""


@dataclass(frozen=True)
class Configuration:
    """The settings, for each name where its value came from, in words, and the file that was read."""

    settings: Settings
    origins: Mapping[str, str]
    file: Path | None

    def shown(self, name: str) -> Any:
        """The value as plain data that may be printed: secrets masked, paths as text."""
        value = getattr(self.settings, name)
        if isinstance(value, SecretStr):
            return MASK if value.get_secret_value() else ""
        if isinstance(value, str) and (name in _ADDRESSES or name.endswith(("_url", "_host"))):
            return without_secrets(value)
        return str(value) if isinstance(value, Path) else value


def load(config_file: str | None = None) -> Configuration:
    """Environment over file over defaults. Raises Misconfigured with every mistake."""
    mistakes: list[str] = []
    path = Path(config_file) if config_file else Path(DEFAULT_FILE)
    entries: dict[str, Entry] = {}
    has_file = bool(config_file) or path.exists()
    if has_file:
        try:
            entries = read_config_file(path)
        except ConfigFileError as error:
            mistakes.append(str(error))
    variables = {name: value for name, value in os.environ.items() if name.upper().startswith(ENV_PREFIX) and value}
    mistakes += _unknown_variables(variables)
    mistakes += _unknown_keys(path, entries)
    known = {name: entry for name, entry in entries.items() if name in Settings.model_fields}
    origins = _origins(path, known, variables)
    raw = {variable[len(ENV_PREFIX) :].lower(): value for variable, value in variables.items()}
    settings, wrong = _validated({name: entry.value for name, entry in known.items()}, raw, origins)
    mistakes += wrong
    if mistakes or settings is None:
        count = f"{len(mistakes)} mistakes" if len(mistakes) != 1 else "a mistake"
        raise Misconfigured(f"The configuration has {count}:", mistakes)
    return _with_secret_file(_with_run_record(settings, origins, path if has_file else None))


def _unknown_variables(variables: Iterable[str]) -> list[str]:
    names = [f"{ENV_PREFIX}{name.upper()}" for name in Settings.model_fields]
    return [
        f"environment {variable}: there is no such setting{_near(variable.upper(), names)}"
        for variable in sorted(variables)
        if variable.upper() not in names and not variable.startswith(NOT_SETTINGS_PREFIXES)
    ]


def _unknown_keys(path: Path, entries: Mapping[str, Entry]) -> list[str]:
    return [
        f"{path}:{entry.line}: {name}: there is no such setting{_near(name, Settings.model_fields)}"
        for name, entry in entries.items()
        if name not in Settings.model_fields
    ]


def _near(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(names), n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else "; `creditmeter config` lists them"


def _origins(path: Path, entries: Mapping[str, Entry], variables: Iterable[str]) -> dict[str, str]:
    origins = {name: f"{path}:{entry.line}" for name, entry in entries.items()}
    for variable in variables:
        name = variable[len(ENV_PREFIX) :].lower()
        if name in Settings.model_fields:
            origins[name] = f"environment {variable}"
    return origins


def _validated(
    from_file: dict[str, Any], from_environment: Mapping[str, str], origins: Mapping[str, str]
) -> tuple[Settings | None, list[str]]:
    """The settings, or all mistakes: in single values, and contradictions between the others."""
    settings: Settings | None = None
    wrong: dict[str, str] = {}
    try:
        settings = together = Settings(**from_file)
    except ValidationError as error:
        wrong = {
            str(problem["loc"][0]): _reworded(problem["type"], str(problem["loc"][0]), problem["msg"])
            for problem in error.errors()
        }
        right = {name: value for name, value in {**from_file, **from_environment}.items() if name not in wrong}
        together = Settings.model_construct(**right)
    contradictions = [] if "kafka_security_protocol" in wrong else together.contradictions()
    problems = [*wrong.items(), *((name, message) for name, message in contradictions if name not in wrong)]
    return settings, [f"{origins.get(name, 'not set')}: {name}: {message}" for name, message in problems]


def _reworded(kind: str, name: str, message: str) -> str:
    """Pydantic's sentence about an 'Input', shortened to what is allowed; in place of a pattern, what it stands for."""
    if kind == "string_pattern_mismatch" and name in Settings.model_fields:
        return f"does not fit; it is: {Settings.model_fields[name].description}"
    for subject in ("Value error, ", "Input ", "String "):
        message = message.removeprefix(subject)
    return message[:1].lower() + message[1:]


def _with_run_record(settings: Settings, origins: dict[str, str], file: Path | None) -> Configuration:
    """Fill addresses that nobody set from the record that `creditmeter up` keeps while it runs."""
    record = settings.data_dir / RUN_RECORD
    noted: dict[str, Any] = {}
    addresses: dict[str, Any] = {}
    if Record.read(settings.data_dir / UP_RECORD) is not None:
        with suppress(OSError, ValueError):
            addresses = json.loads(record.read_text(encoding="utf-8"))
    for name, value in addresses.items():
        if name in Settings.model_fields and name not in origins:
            noted[name] = value
            origins[name] = f"creditmeter up ({record})"
    complete = {name: origins.get(name, "default") for name in Settings.model_fields}
    return Configuration(settings.model_copy(update=noted), complete, file)


def _with_secret_file(configuration: Configuration) -> Configuration:
    """Fill secret_key, where nobody set it, from the file that `creditmeter up` keeps beside the data."""
    settings, path = configuration.settings, configuration.settings.data_dir / SECRET_FILE
    if settings.secret_key is not None:
        return configuration
    try:
        secret = checked_secret_keys(SecretStr(path.read_text(encoding="utf-8").strip()))
    except (FileNotFoundError, NotADirectoryError):  # whoever needs the folder says what is wrong with it
        return configuration
    except (OSError, ValueError) as error:
        mistake = f"{path}: secret_key: {error}; delete the file where nobody needs it any more, and start again"
        raise Misconfigured("The configuration has a mistake:", [mistake]) from error
    filled = settings.model_copy(update={"secret_key": secret})
    origins = {**configuration.origins, "secret_key": str(path)}
    return Configuration(filled, origins, configuration.file)
