"""`creditmeter keys`: API keys made, listed, revoked, imported."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from cli.terminal.command import Group
from cli.terminal.option_types import DURATION
from cli.terminal.options import json_option, with_configuration
from cli.terminal.output import print_json, print_line, print_status

if TYPE_CHECKING:
    from application.access.keys import KeyOrder, ListedKey
    from application.configuration.sources import Configuration
    from streams.access.records import AccessKey

_ROLES = ("member", "owner", "producer", "operator")


@click.group(
    cls=Group,
    short_help="Make, list, revoke or import API keys.",
    epilog="""
    creditmeter keys create producer --name gateway
    creditmeter keys create owner --account acme
    creditmeter keys list --account acme
    creditmeter keys revoke key_5b1f0a37c2d94e6688aa01de
    """,
)
def keys() -> None:
    """Keys let programs use the HTTP API; docs/access.md says which role may do what.

    A member or owner is of one account, a producer of one or all, an operator of all.
    """


def _key_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--expires-in", type=DURATION, help="When it ends: 90d, 12h. Without it: never."),
        click.option("--name", default="", help="For people: where it is used."),
        click.option("--actor", help="Of a member: sees only this actor's usage."),
        click.option("--account", help="The account. Without it, of a producer or operator: every account."),
    ):
        command = option(command)
    return command


@keys.command(epilog="creditmeter keys create member --account acme --actor anna --name 'dashboard of Anna'")
@click.argument("role", type=click.Choice(_ROLES))
@_key_options
@json_option
@with_configuration
def create(
    configuration: Configuration, *, role: str, account: str | None, actor: str | None, name: str,
    expires_in: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Make a key of ROLE and print it. It is shown this once, and kept nowhere."""
    from application.access.keys import create_key
    from cli.access.opening import access_of, typing_author

    with access_of(configuration.settings) as access:
        made = create_key(access, typing_author(), _order(role, account, actor, name, expires_in))
    if as_json:
        print_json({"key": made.text, **_as_json(made.key)})
        return
    print_status(f"{made.key.key_id}: {_scope(made.key)}. Keep the key now: it is shown once.")
    print_line(made.text)


@keys.command(
    "import", epilog='creditmeter keys import producer $(printf %s "$OLD_KEY" | sha256sum | cut -c-64) --name gateway'
)
@click.argument("role", type=click.Choice(_ROLES))
@click.argument("sha256")
@_key_options
@json_option
@with_configuration
def import_(
    configuration: Configuration, *, role: str, sha256: str, account: str | None, actor: str | None, name: str,
    expires_in: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Take over a key that was made elsewhere, by its SHA-256 (64 hexadecimal digits): who has it keeps it."""
    from application.access.key_text import read_digest
    from application.access.keys import import_key
    from cli.access.opening import access_of, typing_author

    digest = read_digest(sha256)
    if digest is None:
        raise click.UsageError(
            "SHA256: 64 hexadecimal digits, as `printf %s KEY | sha256sum` prints them; never the key itself"
        )
    with access_of(configuration.settings) as access:
        key = import_key(access, typing_author(), _order(role, account, actor, name, expires_in), digest)
    if as_json:
        print_json(_as_json(key))
    else:
        print_line(f"{key.key_id}: {_scope(key)}")


@keys.command("list", epilog="creditmeter keys list --account acme --json")
@click.option("--account", help="Only keys of this account.")
@click.option("--all", "with_ended", is_flag=True, help="Also those that were revoked or have expired.")
@json_option
@with_configuration
def list_(configuration: Configuration, *, account: str | None, with_ended: bool, as_json: bool) -> None:
    """List keys, the newest first: what each is for, who made it, when it was used last."""
    from application.access.keys import list_keys
    from application.wording import shown_time
    from cli.access.opening import access_of, typing_author
    from cli.terminal.tables import print_table

    with access_of(configuration.settings) as access:
        now = access.now()
        listed = list_keys(access, typing_author().identity, account)
    listed = [entry for entry in listed if with_ended or _state(entry.key, now) == "open"]
    if as_json:
        print_json([_as_json(entry.key, entry) for entry in listed])
        return
    rows = [
        (
            entry.key.key_id, entry.key.hint, entry.key.role, entry.key.account_id or "all", entry.key.actor,
            entry.key.name, entry.key.created_by, shown_time(entry.key.created_at),
            None if entry.used_at is None else shown_time(entry.used_at), _state(entry.key, now),
        )
        for entry in listed
    ]  # fmt: skip
    print_table(["id", "begins", "role", "account", "actor", "name", "made by", "made at", "last used", "state"], rows)


@keys.command(epilog="creditmeter keys revoke key_5b1f0a37c2d94e6688aa01de")
@click.argument("key_id")
@json_option
@with_configuration
def revoke(configuration: Configuration, *, key_id: str, as_json: bool) -> None:
    """End the key of this id for ever, everywhere within 2 seconds. The list keeps who did it and when."""
    from application.access.keys import revoke_key
    from application.wording import shown_time
    from cli.access.opening import access_of, typing_author

    with access_of(configuration.settings) as access:
        key = revoke_key(access, typing_author(), key_id)
    if as_json:
        print_json(_as_json(key))
    else:
        print_line(f"{key.key_id}: revoked at {shown_time(key.revoked_at or 0)} by {key.revoked_by}")


def _order(role: str, account: str | None, actor: str | None, name: str, expires_in: int | None) -> KeyOrder:
    from application.access.identity import Role
    from application.access.keys import KeyOrder
    from streams import clock

    return KeyOrder(Role(role), account, actor, name, None if expires_in is None else clock.now_ms() + expires_in)


def _scope(key: AccessKey) -> str:
    account = "every account" if key.account_id is None else f"account {key.account_id}"
    return f"{key.role} of {account}" + ("" if key.actor is None else f", actor {key.actor}")


def _state(key: AccessKey, now: int) -> str:
    if key.revoked_at is not None:
        return f"revoked by {key.revoked_by}"
    return "expired" if key.expires_at is not None and key.expires_at <= now else "open"


def _as_json(key: AccessKey, entry: ListedKey | None = None) -> dict[str, Any]:
    """The record with its SHA-256 in hexadecimal."""
    fields = key.fields() | {"digest": key.digest.hex()}
    return fields if entry is None else fields | {"used_at": entry.used_at}
