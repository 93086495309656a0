"""`creditmeter link`: a sign-in for a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.terminal.command import Command
from cli.terminal.option_types import DURATION
from cli.terminal.options import json_option, with_configuration
from cli.terminal.output import print_json, print_line, print_status

if TYPE_CHECKING:
    from application.configuration.sources import Configuration


@click.command(
    cls=Command,
    short_help="Print a link that signs somebody in.",
    epilog="""
    creditmeter link acme --role owner
    creditmeter link acme --actor anna --name Anna --expires-in 2h
    creditmeter link --role operator
    """,
)
@click.argument("account", required=False)
@click.option(
    "--role", type=click.Choice(("member", "owner", "operator")), default="member", show_default=True,
    help="What the session may do; an operator's is for support, and of no account.",
)  # fmt: skip
@click.option("--actor", help="Of a member: sees only this actor's usage.")
@click.option("--name", default="", help="Who it is for, for people.")
@click.option("--expires-in", type=DURATION, default="1d", show_default=True, help="Until it is of no use: 1d, 2h.")
@json_option
@with_configuration
def link(
    configuration: Configuration, *, account: str | None, role: str, actor: str | None, name: str, expires_in: int,
    as_json: bool,
) -> None:  # fmt: skip
    """Print a link with which somebody of ACCOUNT signs in, once; the session lasts 12 hours.

    Who has the link can use it: send it to nobody else. `creditmeter changes` shows who made and used links.
    """
    from application.access.identity import Role
    from application.access.links import LinkOrder, create_link, link_url
    from application.wording import shown_time
    from cli.access.opening import access_of, typing_author

    order = LinkOrder(Role(role), account, actor, name, expires_in)
    with access_of(configuration.settings) as access:
        made = create_link(access, typing_author(), order)
    url = link_url(configuration.settings, made.token)
    if as_json:
        print_json({"url": url, **made.link.fields()})
        return
    print_status(f"{made.link.link_id}: can be used once, until {shown_time(made.link.expires_at)}")
    print_line(url)
