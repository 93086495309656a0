"""Signatures as the reference library of Standard Webhooks checks them."""

from datetime import UTC, datetime

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from application.access.secret_keys import SecretKeys, webhook_secrets
from application.webhooks.signing import signed_headers
from streams import clock

OLD, NEW = webhook_secrets(SecretKeys([b"a secret of thirty-two characters"]), "wh_1", 1) + webhook_secrets(
    SecretKeys([b"a secret of thirty-two characters"]), "wh_1", 2
)
BODY = '{"type":"refund.made","data":{"reason":"für Ö"}}'


def test_the_reference_library_takes_it_and_nothing_else() -> None:
    now = clock.now_ms()
    headers = signed_headers([NEW], "msg_1", now, BODY.encode())
    assert Webhook(NEW).verify(BODY, headers) == {"type": "refund.made", "data": {"reason": "für Ö"}}
    by_library = Webhook(NEW).sign("msg_1", datetime.fromtimestamp(now // 1_000, UTC), BODY)
    assert headers["webhook-signature"] == by_library
    for wrong in (
        {"webhook-id": "msg_2"},
        {"webhook-timestamp": str(now // 1_000 + 1)},
        {"webhook-signature": "v1,AAAA"},
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(NEW).verify(BODY, headers | wrong)
    with pytest.raises(WebhookVerificationError):
        Webhook(NEW).verify(BODY + " ", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(OLD).verify(BODY, headers)


def test_while_a_secret_is_rotated_receivers_of_either_take_it() -> None:
    headers = signed_headers([NEW, OLD], "msg_1", clock.now_ms(), BODY.encode())
    assert Webhook(OLD).verify(BODY, headers) == Webhook(NEW).verify(BODY, headers)


@pytest.mark.parametrize("secrets", [[], ["secret"], ["whsec_?"]])
def test_a_message_is_never_sent_unsigned(secrets: list[str]) -> None:
    with pytest.raises(ValueError):
        signed_headers(secrets, "msg_1", 0, b"")
