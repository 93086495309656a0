"""Ids of keys, links, webhooks and changes: no secrets, and never used twice."""

from __future__ import annotations

import secrets

_BYTES = 12


def new_id(kind: str) -> str:
    """`key_` and 24 random hexadecimal digits, and so on."""
    return f"{kind}_{secrets.token_hex(_BYTES)}"
