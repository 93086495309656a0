"""What `creditmeter up` makes for this machine: a secret, an operator's key, sign-in links, and the example account."""

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

    def sign_in_links(self, addresses: Mapping[str, str | int], *, example: bool) -> list[tuple[str, str]]:
        """For whom, and the link: an operator's, and before it the example's owner's. Each works once.

        Makes the example account first, where it is asked for. Raises UseCaseError.
        """
        from application.access.access import opened_access, secret_keys_of
        from application.access.identity import Role
        from application.access.links import LinkOrder, create_link, link_url
        from application.pipeline import opened
        from cli.access.opening import typing_author
        from cli.demo.example_account import ACCOUNT
        from cli.demo.making_example import make_example
        from cli.terminal.output import print_status

        settings, author = self._with_secret().model_copy(update=dict(addresses)), typing_author()
        orders = [("support", LinkOrder(Role.OPERATOR, name=author.identity.name))]
        with opened(settings) as pipeline, opened_access(pipeline, secret_keys_of(settings)) as access:
            if example:
                make_example(pipeline, access, author, print_status)
                orders.insert(0, (f"the example account {ACCOUNT}", LinkOrder(Role.OWNER, ACCOUNT, name="Dana Price")))
            return [(whom, link_url(settings, create_link(access, author, order).token)) for whom, order in orders]

    def _with_secret(self) -> Settings:
        """The settings, with the secret of this machine where none is configured."""
        from pydantic import SecretStr

        from application.access.machine_files import ensure_secret_file

        if self._settings.secret_key is not None:
            return self._settings
        secret = ensure_secret_file(self._settings.data_dir).read_text(encoding="utf-8").strip()
        return self._settings.model_copy(update={"secret_key": SecretStr(secret)})
