"""What `creditmeter up` makes so that this machine may use its own HTTP API: a secret, and an operator's key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from application.configuration.settings import Settings


class MachineAccess:
    """The two files in data_dir; see `application.access.machine_files`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.key_file: Path | None = None
        """The operator's key, once everything answers."""

    def make_secret(self) -> None:
        """Make a secret_key where none is configured, before anything starts that needs one. Raises Failed."""
        from application.access.machine_files import ensure_secret_file
        from application.errors import Failed

        if self._settings.secret_key is None:
            try:
                ensure_secret_file(self._settings.data_dir)
            except OSError as error:
                raise Failed(f"the secret_key in {self._settings.data_dir} cannot be written: {error}") from error

    def make_operator_key(self, addresses: Mapping[str, str | int]) -> None:
        """Make the key where there is none that is in force. Raises UseCaseError."""
        from application.access.machine_files import ensure_operator_key
        from application.errors import Failed
        from cli.access.opening import access_of, typing_author

        settings = self._settings.model_copy(update=dict(addresses))
        with access_of(settings) as access:
            try:
                self.key_file, _ = ensure_operator_key(access, typing_author(), settings.data_dir)
            except OSError as error:
                raise Failed(f"the operator's key in {settings.data_dir} cannot be written: {error}") from error
