"""What `creditmeter up` keeps in data_dir for this machine alone (0600): a secret_key, and an operator's key."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from application.access.access import Access
from application.access.authenticator import KeyAuthenticator
from application.access.authors import Author
from application.access.errors import KeyRefused
from application.access.identity import Identity, Role
from application.access.keys import KeyOrder, create_key
from application.configuration.sources import SECRET_FILE

OPERATOR_KEY_FILE = "operator.key"
_SECRET_BYTES = 32


def ensure_secret_file(data_dir: Path) -> Path:
    """Makes a secret_key where there is none yet, and returns its file. Raises OSError."""
    path = data_dir / SECRET_FILE
    if not path.exists():
        _write(path, secrets.token_hex(_SECRET_BYTES))
    return path


def ensure_operator_key(access: Access, author: Author, data_dir: Path) -> tuple[Path, Identity]:
    """The file with an operator's key that is in force, and who it stands for.

    A key that the topic does not know, or that has ended, is replaced. Raises AccessUnavailable, Failed, OSError.
    """
    path = data_dir / OPERATOR_KEY_FILE
    authenticator = KeyAuthenticator(access)
    try:
        identity = authenticator.identify(path.read_text(encoding="utf-8").strip())
        if identity.role is Role.OPERATOR:
            return path, identity
    except (FileNotFoundError, UnicodeDecodeError, KeyRefused):
        pass
    made = create_key(access, author, KeyOrder(Role.OPERATOR, name=f"this machine, for {author.identity.name}"))
    _write(path, made.text)
    return path, Identity(Role.OPERATOR, None, None, made.key.key_id, made.key.name)


def _write(path: Path, text: str) -> None:
    """The whole file or none, for its owner alone."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(f"{text}\n")
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
