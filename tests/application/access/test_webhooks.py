"""Webhooks as settings: added, changed, turned off, their secrets rotated, removed."""

import threading

import pytest

from application.access.access import Access
from application.access.authors import Author
from application.access.changes import list_changes
from application.access.checks import BadAccessFields
from application.access.errors import NotAllowed
from application.access.webhooks import (
    MOST,
    SECOND_SECRET_MS,
    WebhookOrder,
    change_webhook,
    create_webhook,
    disable_webhook,
    list_webhooks,
    remove_webhook,
    rotate_secret,
    shown_urls,
    signing_secrets,
)
from application.errors import ErrorCode, Failed
from streams.access.records import Webhook
from tests.application.access.world import MEMBER, OPERATOR, OWNER, PRODUCER, STRANGER, World

URL = "https://ann:word@example.com/hook?token=word"


@pytest.fixture
def world() -> World:
    return World()


def a_webhook(access: Access, account_id: str | None = "acme", author: Author = OWNER) -> Webhook:
    return create_webhook(access, author, WebhookOrder(account_id, URL, ["balance.below"]))


def test_a_webhook_from_the_first_to_the_last(world: World) -> None:
    with world.server() as one, world.server() as other:
        made = a_webhook(one)
        other.read_to_end()
        assert list_webhooks(other, "acme") == [made]
        disabled = disable_webhook(other, OPERATOR, made.webhook_id, "410 Gone")
        assert (disabled.disabled_at, disabled.disabled_reason) == (world.now, "410 Gone")
        order = WebhookOrder("acme", "https://example.com/other", ["refund.made", "refund.made"], "billing")
        changed = change_webhook(one, OWNER, made.webhook_id, order)
        assert (changed.url, changed.events, changed.description) == (
            "https://example.com/other",
            ["refund.made"],
            "billing",
        )
        assert (changed.disabled_at, changed.enabled_at) == (None, world.now)
        removed = remove_webhook(other, OWNER, made.webhook_id)
        assert (removed.removed_by, removed.removed_from, removed.revision) == ("key_owner", "192.0.2.1", 4)
        assert list_webhooks(other, "acme") == []
        for edit in (
            lambda: change_webhook(one, OWNER, made.webhook_id, order),
            lambda: remove_webhook(one, OWNER, made.webhook_id),
        ):
            with pytest.raises(Failed, match="no webhook") as caught:
                edit()
            assert caught.value.code is ErrorCode.NOT_FOUND


def test_secrets_are_derived_and_two_sign_for_a_day_after_a_rotation(world: World) -> None:
    with world.server() as access:
        made = a_webhook(access)
        (first,) = signing_secrets(access, made)
        rotated = rotate_secret(access, OWNER, made.webhook_id)
        second, before = signing_secrets(access, rotated)
        assert before == first != second
        world.now += SECOND_SECRET_MS
        assert signing_secrets(access, rotated) == [second]
        records = access.reader.read(*access.reader.bounds())
        assert not any(secret in repr(record) for _, record in records for secret in (first, second))


def test_addresses_are_masked_but_for_owners_and_in_the_list_of_changes(world: World) -> None:
    with world.server() as access:
        a_webhook(access)
        masked = "https://********@example.com/hook?token=********"
        for author, urls in ((MEMBER, [masked]), (OWNER, [URL]), (OPERATOR, [URL])):
            assert shown_urls(access, author.identity, "acme") == urls
        assert list_changes(access, OWNER.identity)[0].details == {"url": masked}


def test_only_owners_and_operators_change_webhooks(world: World) -> None:
    with world.server() as access:
        made = a_webhook(access)
        for author in (STRANGER, MEMBER, PRODUCER):
            with pytest.raises(NotAllowed):
                a_webhook(access, author=author)
            with pytest.raises((NotAllowed, Failed)):
                remove_webhook(access, author, made.webhook_id)
        with pytest.raises(NotAllowed):
            a_webhook(access, None)
        everyone = a_webhook(access, None, OPERATOR)
        with pytest.raises(Failed, match="no webhook"):
            remove_webhook(access, OWNER, everyone.webhook_id)
        assert list_webhooks(access, None) == [everyone]
        assert list_webhooks(access, "acme") == [made]


@pytest.mark.parametrize(
    "url",
    ["", "example.com", "ftp://example.com", "https://", "https://a b", "https://example.com/#x", "https://[::1",
     "https://example.com:0/", "https://example.com/\n", "https://b\u00fccher.example/", "https://e/" + "x" * 2_048],
)  # fmt: skip
def test_what_is_no_address(world: World, url: str) -> None:
    with world.server() as access, pytest.raises(BadAccessFields, match=r"^url: https"):
        create_webhook(access, OWNER, WebhookOrder("acme", url, ["refund.made"]))


def test_all_mistakes_are_said_at_once(world: World) -> None:
    with world.server() as access:
        for events in ([], ["refund.made", "everything"]):
            with pytest.raises(BadAccessFields) as caught:
                create_webhook(access, OWNER, WebhookOrder("acme", "no", events, "\x00"))
            assert [field for field, _ in caught.value.mistakes] == ["description", "url", "events"]


def test_an_account_has_so_many_and_no_more_whoever_adds_them(world: World) -> None:
    with world.server() as one, world.server() as other:
        refusals: list[Failed] = []

        def add(access: Access) -> None:
            for _ in range(MOST // 2 + 2):
                try:
                    a_webhook(access)
                except Failed as error:
                    refusals.append(error)

        threads = [threading.Thread(target=add, args=(access,)) for access in (one, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        one.read_to_end()
        assert (len(list_webhooks(one, "acme")), len(refusals)) == (MOST, 4)
        assert {refusal.code for refusal in refusals} == {ErrorCode.CONFLICT}
