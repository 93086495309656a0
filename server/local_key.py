"""The one key of this machine: an operator's, kept in data_dir for its owner alone."""

from __future__ import annotations

import os
import secrets
from hmac import compare_digest
from pathlib import Path

from application.access.errors import KeyUnknown
from application.access.identity import Identity, Role

OPERATOR_KEY = "operator.key"


class LocalKey:
    """An `Authenticator` that knows the key in the file; makes it (0600) where there is none."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(24))
        self._key = path.read_text().strip().encode()
        self._identity = Identity(Role.OPERATOR, None, None, "local", "this machine's operator")

    def known(self, presented_key: str) -> Identity | None:
        """The operator, or nobody."""
        return self._identity if compare_digest(presented_key.encode(), self._key) else None

    def identify(self, presented_key: str) -> Identity:
        """As `known`. Raises KeyUnknown."""
        identity = self.known(presented_key)
        if identity is None:
            raise KeyUnknown("there is no such key")
        return identity
