"""Everything that is derived from the setting `secret_key`, so that none of it is stored (SERVER 1).

HKDF (RFC 5869) with SHA-256, from the standard library's hmac. Each purpose has a key of its own, by its name: who
learns one learns nothing of another. Two secrets may be in force while `secret_key` is rotated: new things are made
with the present one, and what was made with the one before is still recognised.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256

_SALT = b"creditmeter secret_key"
_MAC_BYTES = 16
_HASH_BYTES = 32
_MOST_BLOCKS = 255


class Purpose(StrEnum):
    """What a derived key is for. The words are part of the derivation: changing one changes the keys."""

    LINK = "link"
    SESSION = "session"
    CSRF = "csrf"
    CURSOR = "cursor"
    WEBHOOK = "webhook"


class BadToken(Exception):
    """A token that nobody made with these secrets, or that was changed since."""


@dataclass(frozen=True, slots=True)
class SecretKeys:
    """The secrets, the present one first. `repr` shows none."""

    secrets: Sequence[bytes] = field(repr=False)

    def __post_init__(self) -> None:
        if not self.secrets:
            raise ValueError("at least one secret is needed")

    def derived(self, purpose: Purpose, context: bytes = b"") -> list[bytes]:
        """The 32-byte key of this purpose and context for each secret, that of the present one first."""
        info = purpose.encode() + b"\0" + context
        return [hkdf(secret, _SALT, info, _HASH_BYTES) for secret in self.secrets]


class Signer:
    """Makes and checks tokens of one purpose: the content in clear, and a seal of 128 bits. Safe in any thread."""

    def __init__(self, keys: SecretKeys, purpose: Purpose) -> None:
        self._keys = keys.derived(purpose)

    def sign(self, content: bytes) -> str:
        """A token of URL-safe characters that says the content; it hides nothing."""
        return f"{_text(content)}.{_text(_mac(self._keys[0], content))}"

    def read(self, token: str) -> bytes:
        """The content of a token. Raises BadToken."""
        content_text, point, mac_text = token.partition(".")
        content, mac = _bytes(content_text), _bytes(mac_text)
        if not point or content is None or mac is None:
            raise BadToken
        if not any(hmac.compare_digest(mac, _mac(key, content)) for key in self._keys):
            raise BadToken
        return content


def webhook_secrets(keys: SecretKeys, webhook_id: str, generation: int) -> list[str]:
    """The `whsec_` secrets of a webhook's generation, that of the present secret_key first."""
    context = f"{generation}\0{webhook_id}".encode()
    return [f"whsec_{base64.b64encode(key).decode()}" for key in keys.derived(Purpose.WEBHOOK, context)]


def hkdf(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """HKDF-SHA-256 of RFC 5869: extract, then expand. `length` in bytes, 255 blocks of 32 at most."""
    blocks = -(-length // _HASH_BYTES)
    if not 0 < blocks <= _MOST_BLOCKS:
        raise ValueError(f"length: {length}; HKDF-SHA-256 gives 1 to {_MOST_BLOCKS * _HASH_BYTES} bytes")
    key = hmac.digest(salt or bytes(_HASH_BYTES), secret, sha256)
    made, block = b"", b""
    for number in range(1, blocks + 1):
        block = hmac.digest(key, block + info + bytes([number]), sha256)
        made += block
    return made[:length]


def _mac(key: bytes, content: bytes) -> bytes:
    return hmac.digest(key, content, sha256)[:_MAC_BYTES]


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes | None:
    """None for what `_text` would not have written: one content has one token."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if _text(data) == text else None
