"""`creditmeter keys`, `link` and `changes` on a real broker: from a key that is made to the list of who made it."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from application.access.access import opened_access
from application.access.authenticator import KeyAuthenticator
from application.access.errors import KeyRevoked
from application.access.identity import Role
from application.access.links import SIGN_IN_PATH, use_link
from application.access.secret_keys import SecretKeys
from application.configuration.sources import load
from application.pipeline import opened
from local.shared import SharedKafka
from streams.log.topics import TopicNames, TopicSettings, ensure_topics

SECRET = "a secret of thirty-two characters"


@pytest.fixture
def place(kafka: SharedKafka, monkeypatch: pytest.MonkeyPatch) -> None:
    names = TopicNames(kafka.fresh_prefix())
    ensure_topics(kafka.bootstrap, names, TopicSettings(partitions=1))
    monkeypatch.setenv("CREDITMETER_BOOTSTRAP_SERVERS", kafka.bootstrap)
    monkeypatch.setenv("CREDITMETER_TOPIC_PREFIX", names.prefix)
    monkeypatch.setenv("CREDITMETER_SECRET_KEY", SECRET)


def as_json(result: Result) -> Any:
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.kafka
def test_keys_and_links_from_the_first_to_the_list_of_changes(place: None, run: Callable[..., Result]) -> None:
    made = run("keys", "create", "owner", "--account", "acme", "--name", "console")
    assert made.exit_code == 0, made.stderr
    text = made.stdout.strip()
    assert "owner of account acme. Keep the key now: it is shown once." in made.stderr
    assert text not in made.stderr

    digest = hashlib.sha256(b"sk-old-gateway").hexdigest()
    imported = as_json(run("keys", "import", "producer", digest, "--name", "gateway", "--json"))
    again = run("keys", "import", "producer", digest)
    assert (again.exit_code, imported["key_id"] in again.stderr) == (1, True)

    listed = as_json(run("keys", "list", "--json"))
    assert [(key["role"], key["account_id"], key["name"]) for key in listed] == [
        ("producer", None, "gateway"), ("owner", "acme", "console"),
    ]  # fmt: skip
    assert listed[1]["hint"] == text[:12]
    assert "console" in run("keys", "list").stdout

    link = as_json(run("link", "acme", "--actor", "anna", "--name", "Anna", "--json"))
    revoked = run("keys", "revoke", listed[1]["key_id"])
    assert revoked.exit_code == 0, revoked.stderr
    assert ": revoked at 2" in revoked.stdout
    assert [key["name"] for key in as_json(run("keys", "list", "--json"))] == ["gateway"]
    assert len(as_json(run("keys", "list", "--all", "--json"))) == 2

    with opened(load().settings) as pipeline, opened_access(pipeline, SecretKeys([SECRET.encode()])) as access:
        with pytest.raises(KeyRevoked):
            KeyAuthenticator(access).identify(text)
        gateway = KeyAuthenticator(access).identify("sk-old-gateway")
        assert (gateway.role, gateway.account_id, gateway.key_id) == (Role.PRODUCER, None, imported["key_id"])
        session = use_link(access, link["url"].partition(SIGN_IN_PATH)[2], "192.0.2.9")
        assert (session.identity.account_id, session.identity.actor) == ("acme", "anna")

    changes = as_json(run("changes", "--json"))
    assert [change["action"] for change in changes] == [
        "link.used", "key.revoked", "link.created", "key.imported", "key.created",
    ]  # fmt: skip
    assert changes[0]["changed_from"] == "192.0.2.9"
    assert len({change["changed_by"] for change in changes[1:]}) == 1
    assert "@" in changes[1]["changed_by"]
    assert [change["action"] for change in as_json(run("changes", "--account", "acme", "--limit", "2", "--json"))] == [
        "link.used", "key.revoked",
    ]  # fmt: skip
    assert "key.imported" in run("changes").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["keys", "import", "producer", "sk-the-key-itself"], "64 hexadecimal digits"),
        (["keys", "create", "admin"], "'admin' is not one of"),
        (["link", "acme", "--expires-in", "soon"], "soon"),
        (["link", "acme", "--role", "producer"], "'producer' is not one of"),
        (["keys", "create", "owner", "--account", "acme"], "No Kafka is known here"),
    ],
)
def test_wrong_usage_is_said_before_anything_is_asked(
    run: Callable[..., Result], tmp_path: Path, arguments: list[str], message: str
) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["keys", "create", "owner"], 2, "an owner is always of one account: name it"),
        (["keys", "create", "operator", "--account", "acme"], 2, "leave the account out"),
        (["keys", "revoke", "key_none"], 1, "there is no key key_none"),
    ],
)
def test_what_cannot_be_is_refused(
    place: None, run: Callable[..., Result], arguments: list[str], code: int, message: str
) -> None:
    result = run(*arguments)
    assert result.exit_code == code
    assert message in result.stderr


@pytest.mark.kafka
def test_what_is_typed_here_is_listed_before_it_is_sent(place: None, run: Callable[..., Result]) -> None:
    """No worker runs: each command gives up waiting, and stands in the list all the same, with who and where."""
    grant = run("grant", "acme", "500", "--credit-type", "credit", "--id", "g-1", "--wait", "0.1")
    refund = run("refund", "e-1", "--account", "acme", "--id", "re-1", "--wait", "0.1")
    settings = run("account", "set", "acme", "--on-empty", "reject", "--id", "u-1", "--wait", "0.1")
    assert 0 not in {grant.exit_code, refund.exit_code, settings.exit_code}
    listed = as_json(run("changes", "--account", "acme", "--json"))
    typed = {change["subject"]: change for change in listed if change["subject"] in {"g-1", "re-1", "u-1"}}
    assert {subject: change["action"] for subject, change in typed.items()} == {
        "g-1": "grant", "re-1": "refund", "u-1": "settings.replaced",
    }  # fmt: skip
    assert typed["g-1"]["details"] == {"credits": "500", "credit_type": "credit"}
    assert all("@" in change["changed_by"] and change["at"] for change in typed.values())
    wrong = run("grant", "acme", "500", "--credit-type", "credit", "--id", "refund:x", "--wait", "0.1")
    assert wrong.exit_code == 2
    assert "refund:x" not in run("changes", "--account", "acme", "--json").stdout
