"""The headers of a message after Standard Webhooks: its id, the time of the try, and a signature of both and the body.

Several secrets sign at once while one is rotated: a receiver that knows any of them takes the message.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Sequence

_PREFIX = "whsec_"


def signed_headers(secrets: Sequence[str], delivery_id: str, at: int, body: bytes) -> dict[str, str]:
    """`webhook-id`, `webhook-timestamp` (seconds) and `webhook-signature` of one try. `at` in ms.

    `secrets` are `whsec_` and base64. Raises ValueError for another one, or for none.
    """
    if not secrets:
        raise ValueError("a message is signed with at least one secret")
    timestamp = str(at // 1_000)
    content = f"{delivery_id}.{timestamp}.".encode() + body
    signatures = [
        f"v1,{base64.b64encode(hmac.digest(_key(secret), content, 'sha256')).decode()}" for secret in secrets
    ]  # fmt: skip
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(signatures),
    }


def _key(secret: str) -> bytes:
    if not secret.startswith(_PREFIX):
        raise ValueError(f"a webhook's secret begins with {_PREFIX}")
    return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
