"""The secret and the operator's key of a machine: made once, private, replaced when they open nothing."""

import stat
from pathlib import Path

import pytest

from application.access.authenticator import KeyAuthenticator
from application.access.identity import Role
from application.access.keys import list_keys, revoke_key
from application.access.machine_files import ensure_operator_key, ensure_secret_file
from application.configuration.sources import load
from application.errors import Misconfigured
from tests.application.access.world import OPERATOR, World


def rights(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_secret_is_made_once_for_its_owner_alone_and_is_the_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDITMETER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("CREDITMETER_SECRET_KEY", raising=False)
    monkeypatch.chdir(tmp_path)
    assert load().settings.secret_key is None
    path = ensure_secret_file(tmp_path / "data")
    text = path.read_text()
    assert ensure_secret_file(tmp_path / "data").read_text() == text
    assert rights(path) == 0o600
    configuration = load()
    assert configuration.settings.secret_key is not None
    assert configuration.settings.secret_key.get_secret_value() == text.strip()
    assert configuration.origins["secret_key"] == str(path)
    assert configuration.shown("secret_key") != text.strip()
    monkeypatch.setenv("CREDITMETER_SECRET_KEY", "x" * 32)
    assert load().origins["secret_key"] == "environment CREDITMETER_SECRET_KEY"
    monkeypatch.delenv("CREDITMETER_SECRET_KEY")
    path.write_text("short")
    with pytest.raises(Misconfigured, match="32 to 1,024 characters"):
        load()


def test_an_operators_key_is_kept_while_it_opens_something(tmp_path: Path) -> None:
    world = World()
    with world.server() as access:
        path, identity = ensure_operator_key(access, OPERATOR, tmp_path)
        text = path.read_text().strip()
        assert rights(path) == 0o600
        assert identity.role is Role.OPERATOR
        assert KeyAuthenticator(access).known(text) == identity
        assert ensure_operator_key(access, OPERATOR, tmp_path) == (path, identity)
        assert path.read_text().strip() == text
        revoke_key(access, OPERATOR, identity.key_id)
        _, other = ensure_operator_key(access, OPERATOR, tmp_path)
        assert other.key_id != identity.key_id
        assert KeyAuthenticator(access).known(path.read_text().strip()) == other
        path.write_text("not a key\n")
        assert ensure_operator_key(access, OPERATOR, tmp_path)[1].key_id not in {identity.key_id, other.key_id}
        assert len(list_keys(access, OPERATOR.identity)) == 3
    with World().server() as emptied:  # another Kafka: the key is not known there
        ensure_operator_key(emptied, OPERATOR, tmp_path)
        assert KeyAuthenticator(emptied).known(path.read_text().strip()) is not None
