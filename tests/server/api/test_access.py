"""Keys, members, links and changes over HTTP: who may manage whose, and that what is made works at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from application.access.access import Access, opened_access
from application.access.authenticator import KeyAuthenticator
from application.access.identity import Role
from application.access.keys import KeyOrder, create_key
from application.access.links import SIGN_IN_PATH, use_link
from application.access.secret_keys import SecretKeys
from application.in_memory import in_memory_pipeline
from tests.application.access.world import OPERATOR
from tests.server.asgi_client import Answer
from tests.server.world import ServerWorld, opened_world

SECRETS = SecretKeys([b"a secret of thirty-two characters"])
ACME = "/v1/accounts/acme"


class Managed:
    """A server that knows keys by its access, and a key of each role."""

    def __init__(self, world: ServerWorld, access: Access) -> None:
        self.world, self.access = world, access
        world.parts.access = access
        world.parts.authenticator = KeyAuthenticator(access)
        orders = {
            "owner": KeyOrder(Role.OWNER, "acme"), "member": KeyOrder(Role.MEMBER, "acme"),
            "stranger": KeyOrder(Role.OWNER, "zeta"), "producer": KeyOrder(Role.PRODUCER),
            "operator": KeyOrder(Role.OPERATOR),
        }  # fmt: skip
        self.made = {name: create_key(access, OPERATOR, order) for name, order in orders.items()}

    def ask(self, method: str, path: str, who: str | None, document: dict[str, Any] | None = None) -> Answer:
        key = None if who is None else self.made[who].text
        body = b"" if document is None else json.dumps(document).encode()
        return self.world.ask(method, path, body, key=key, headers={"content-type": "application/json"})

    def answer(self, method: str, path: str, who: str, document: dict[str, Any] | None = None) -> Any:
        answer = self.ask(method, path, who, document)
        assert answer.status in {200, 201}, answer.body
        return json.loads(answer.body)


@pytest.fixture(scope="module")
def managed() -> Iterator[Managed]:
    pipeline = in_memory_pipeline()
    with opened_access(pipeline, SECRETS) as access, opened_world(pipeline) as world:
        yield Managed(world, access)


@pytest.mark.parametrize(
    ("who", "status"),
    [(None, 401), ("owner", 200), ("operator", 200), ("member", 403), ("producer", 403), ("stranger", 404)],
)
@pytest.mark.parametrize("thing", ["keys", "members", "links", "changes", "webhooks"])
def test_who_may_see_them(managed: Managed, thing: str, who: str | None, status: int) -> None:
    assert managed.ask("GET", f"{ACME}/{thing}", who).status == status


@pytest.mark.parametrize(("who", "status"), [(None, 401), ("member", 403), ("producer", 403), ("stranger", 404)])
def test_who_may_not_change_them(managed: Managed, who: str | None, status: int) -> None:
    owner = managed.made["owner"].key.key_id
    for method, path, document in (
        ("POST", "keys", {"role": "owner"}), ("DELETE", f"keys/{owner}", None), ("POST", "links", {"role": "owner"}),
        ("PUT", "members/anna", {}), ("DELETE", "members/anna", None), ("DELETE", "links/link_1", None),
        ("POST", "webhooks", {"url": "https://example.com", "events": ["refund.made"]}),
    ):  # fmt: skip
        assert managed.ask(method, f"{ACME}/{path}", who, document).status == status
    assert managed.access.state.member("acme", "anna") is None


def test_a_key_works_from_its_answer_to_its_revocation(managed: Managed) -> None:
    made = managed.ask("POST", f"{ACME}/keys", "owner", {"role": "member", "name": "console"})
    assert (made.status, made.headers["cache-control"]) == (201, "no-store")
    key = json.loads(made.body)
    assert (key["role"], key["account_id"], key["created_by"]) == ("member", "acme", managed.made["owner"].key.key_id)
    assert not {"digest", "revision"} & set(key)
    listed = managed.answer("GET", f"{ACME}/keys", "owner")["keys"]
    assert key["key"] not in json.dumps(listed)
    assert {entry["key_id"] for entry in listed} >= {key["key_id"]}
    with_it = managed.world.ask("GET", f"{ACME}/keys", key=key["key"])
    assert with_it.status == 403, "a member manages no keys, and is known"
    revoked = managed.answer("DELETE", f"{ACME}/keys/{key['key_id']}", "operator")
    assert revoked["revoked_at"].endswith("Z")
    assert managed.world.ask("GET", f"{ACME}/keys", key=key["key"]).status == 401
    assert managed.answer("DELETE", f"{ACME}/keys/{key['key_id']}", "owner") == revoked


def test_a_key_of_another_account_is_not_there(managed: Managed) -> None:
    for name in ("stranger", "producer", "operator"):
        path = f"{ACME}/keys/{managed.made[name].key.key_id}"
        assert [managed.ask("DELETE", path, who).status for who in ("owner", "operator")] == [404, 404]
        assert managed.access.state.key(managed.made[name].key.key_id).revoked_at is None  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("path", "document", "pointers"),
    [
        ("keys", {"role": "producer"}, ["/role"]),
        ("keys", {"role": "operator", "more": 1}, ["/role", "/more"]),
        ("keys", {"role": "member", "actor": "", "expires_at": 1}, ["/actor", "/expires_at"]),
        ("keys", {}, ["/role"]),
        ("links", {"role": "member", "expires_in": "soon"}, ["/expires_in"]),
        ("links", {"role": "member", "expires_in": "31d"}, ["/expires_in"]),
    ],
)
def test_what_is_wrong_is_said_with_its_pointer(
    managed: Managed, path: str, document: dict[str, Any], pointers: list[str]
) -> None:
    answer = managed.ask("POST", f"{ACME}/{path}", "owner", document)
    assert answer.status == 422
    assert [mistake["pointer"] for mistake in json.loads(answer.body)["errors"]] == pointers


def test_members_and_links_from_the_first_to_the_last(managed: Managed) -> None:
    member = managed.answer("PUT", f"{ACME}/members/ben", "owner", {"name": "Ben", "email": "ben@example.com"})
    assert (member["actor"], member["name"]) == ("ben", "Ben")
    assert managed.answer("GET", f"{ACME}/members", "operator")["members"] == [member]
    link = managed.answer("POST", f"{ACME}/links", "owner", {"role": "member", "actor": "ben", "expires_in": "2h"})
    assert link["path"].startswith(SIGN_IN_PATH)
    session = use_link(managed.access, link["path"].removeprefix(SIGN_IN_PATH), "")
    assert session.identity.actor == "ben"
    assert managed.world.ask("GET", f"{ACME}/keys", key=session.token).status == 401, "a session is no key"
    (listed,) = managed.answer("GET", f"{ACME}/links", "owner")["links"]
    assert listed["link_id"] == link["link_id"]
    assert "path" not in listed
    ended = managed.answer("DELETE", f"{ACME}/links/{link['link_id']}", "owner")
    assert ended["revoked_by"] == managed.made["owner"].key.key_id
    assert managed.ask("DELETE", f"/v1/accounts/zeta/links/{link['link_id']}", "operator").status == 404
    managed.answer("DELETE", f"{ACME}/members/ben", "owner")
    assert managed.ask("DELETE", f"{ACME}/members/ben", "owner").status == 404


def test_changes_say_who_when_and_from_where(managed: Managed) -> None:
    made = managed.answer("POST", f"{ACME}/keys", "owner", {"role": "owner"})
    (newest,) = managed.answer("GET", f"{ACME}/changes?limit=1", "owner")["changes"]
    assert (newest["action"], newest["subject"]) == ("key.created", made["key_id"])
    assert newest["changed_by"] == managed.made["owner"].key.key_id
    assert managed.answer("GET", "/v1/changes?limit=1", "operator")["changes"] == [newest]
    assert managed.ask("GET", "/v1/changes", "owner").status == 403
    assert managed.ask("GET", f"{ACME}/changes?limit=x", "owner").status == 400


def test_a_grant_is_listed_before_it_is_sent_and_a_wrong_one_is_not(managed: Managed) -> None:
    grant = {"account_id": "acme", "credit_type": "credit", "credits": 5, "grant_id": "g-listed"}
    assert managed.ask("POST", "/v1/grants", "operator", grant | {"credits": 0}).status == 422
    assert managed.answer("POST", "/v1/grants", "operator", grant)["status"] == "applied"
    changes = managed.answer("GET", f"{ACME}/changes", "owner")["changes"]
    (listed,) = [change for change in changes if change["action"] == "grant"]
    assert (listed["subject"], listed["details"]["credits"]) == ("g-listed", "5")


def test_webhooks_from_the_first_to_the_last(managed: Managed) -> None:
    order = {"url": "https://ann:word@example.com/hook", "events": ["refund.made"], "description": "billing"}
    made = managed.answer("POST", f"{ACME}/webhooks", "owner", order)
    path = f"{ACME}/webhooks/{made['webhook_id']}"
    (first,) = made.pop("secrets")
    assert first.startswith("whsec_")
    assert managed.answer("GET", path, "owner") == made
    assert managed.answer("GET", f"{ACME}/webhooks", "operator")["webhooks"] == [made]
    rotated = managed.answer("POST", f"{path}/secret", "owner")["secrets"]
    assert rotated == managed.answer("GET", f"{path}/secret", "owner")["secrets"]
    assert (len(rotated), rotated[1]) == (2, first)
    changed = managed.answer("PUT", path, "owner", {"url": "https://example.com/b", "events": ["balance.empty"]})
    assert (changed["url"], changed["events"], changed["description"]) == (
        "https://example.com/b",
        ["balance.empty"],
        "",
    )
    other = path.replace("acme", "zeta")
    assert [managed.ask("GET", other, who).status for who in ("stranger", "operator", "owner")] == [404, 404, 404]
    managed.answer("DELETE", path, "owner")
    assert managed.ask("GET", path, "owner").status == 404
    wrong = managed.ask("POST", f"{ACME}/webhooks", "owner", {"url": "no", "events": ["everything"], "more": 1})
    assert [mistake["pointer"] for mistake in json.loads(wrong.body)["errors"]] == ["/more"]
    wrong = managed.ask("POST", f"{ACME}/webhooks", "owner", {"url": "no", "events": ["everything"]})
    assert [mistake["pointer"] for mistake in json.loads(wrong.body)["errors"]] == ["/url", "/events"]
