"""The access of the configured pipeline, and who types the command."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from application.access.access import Access, ChangeNote
    from application.access.authors import Author
    from application.configuration.settings import Settings
    from application.pipeline import Pipeline


@contextmanager
def access_of(settings: Settings) -> Iterator[Access]:
    """Read to its end. Raises UseCaseError."""
    from application.access.access import opened_access, secret_keys_of
    from application.pipeline import opened

    with opened(settings) as pipeline, opened_access(pipeline, secret_keys_of(settings)) as access:
        yield access


def note_typed_changes(settings: Settings, pipeline: Pipeline, changes: Sequence[ChangeNote]) -> None:
    """Lists what is about to be sent, with who types it, when and on which machine. Raises UseCaseError: send nothing.

    The names are those that the HTTP API uses, so that both stand in one list (`creditmeter changes`).
    """
    from application.access.access import opened_access, secret_keys_of

    with opened_access(pipeline, secret_keys_of(settings)) as access:
        access.note_changes(typing_author(), changes)


def typing_author() -> Author:
    """user@host of this process."""
    from application.access.authors import local_author

    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        user = "somebody"
    return local_author(user, socket.gethostname())
