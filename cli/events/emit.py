"""`creditmeter emit`: the events of a file, NDJSON or an access log, into Kafka."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.terminal.command import Command
from cli.terminal.options import NumberRange, with_configuration

if TYPE_CHECKING:
    from application.configuration.sources import Configuration


FORMATS = (
    "auto", "ndjson", "access-log", "common", "combined", "vhost", "nginx-json", "envoy-json", "caddy-json", "cri",
    "docker", "syslog",
)  # fmt: skip
"""What `application.input.log_formats` reads, written here so that --help needs no import."""


@click.command(
    cls=Command,
    short_help="Send events to Kafka: NDJSON or an access log.",
    epilog="""
    creditmeter emit --account acme /var/log/nginx/access.log
    creditmeter emit --account-pattern '^/t/(?P<account>[^/]+)/' --account other access.log.gz
    creditmeter emit --account acme --log-format '$remote_addr [$time_local] "$request" $status' odd.log
    creditmeter emit --account acme --dry-run access.log | creditmeter rate --prices prices.yaml
    """,
)
@click.argument("file", default="-", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option(
    "--format",
    "file_format",
    type=click.Choice(FORMATS),
    default="auto",
    show_default=True,
    help="auto looks at the first lines; access-log is a log in any of the formats behind it.",
)
@click.option(
    "--log-format",
    metavar="FIELDS",
    help="A log in a format of your own, as Apache's LogFormat or nginx's log_format describes it.",
)
@click.option(
    "--last-line-complete", is_flag=True, help="Send a log's last line without line end, too (else it has no end yet)."
)
@click.option(
    "--account", help="Access log: who pays; with --account-pattern, who pays where the pattern finds nobody."
)
@click.option("--account-pattern", metavar="REGEX", help="Access log: finds who pays in the path, as (?P<account>…).")
@click.option("--endpoint", help="Access log: the endpoint of all events. Without it: the path without its query.")
@click.option("--channel", default="web", show_default=True, help="Access log: the channel of all events.")
@click.option("--dry-run", is_flag=True, help="Print the commands as NDJSON (for `rate`) instead of sending them.")
@click.option("--rejects", type=click.Path(dir_okay=False, writable=True), help="Keep the bad lines in this file.")
@click.option("--rate-limit", type=NumberRange(min=0, min_open=True), metavar="N", help="At most N lines a second.")
@click.option(
    "--wait", type=NumberRange(min=0), metavar="SECONDS",
    help="Then wait so long for a worker, and count what was accepted, repeated and set aside.",
)  # fmt: skip
@click.option(
    "--strict", is_flag=True,
    help="Exit with 1 when a line was not sent (without it: only when none was), or with --wait not accepted.",
)  # fmt: skip
@with_configuration
@click.pass_context
def emit(
    ctx: click.Context,
    configuration: Configuration,
    file: str,
    *,
    file_format: str,
    log_format: str | None,
    last_line_complete: bool,
    account: str | None,
    account_pattern: str | None,
    endpoint: str | None,
    channel: str,
    dry_run: bool,
    rejects: str | None,
    rate_limit: float | None,
    wait: float | None,
    strict: bool,
) -> None:
    """Send the events of FILE (NDJSON or an access log; - is standard input) to Kafka.

    NDJSON is what `rate` reads. An access log may be in Common or Combined format, also behind a virtual host, or in
    an envelope of CRI, Docker or syslog, or in JSON of nginx, Envoy or Caddy: the status gives the outcome, the
    client's address the ip, and a line's content and its place among identical lines give its event_id, so that
    sending a log again, under another name or after it has grown, changes nothing. A last line of a log without its end
    may still be being written: it is not sent. Bad lines are reported with their numbers and skipped. gzip, bzip2
    and xz are read through. Answers when every event is acknowledged; with --wait when all are decided: then events
    under an id that their account knows with other content are counted by themselves, since they are not charged.
    """
    from cli.events.emitting import Emission, Wanted

    if dry_run and wait is not None:
        raise click.UsageError("--dry-run sends nothing that --wait could wait for")
    wanted = Wanted(
        file, file_format, log_format, last_line_complete, account, account_pattern, endpoint, channel, rate_limit,
        wait,
    )  # fmt: skip
    emission = Emission(wanted, rejects)
    emission.run(None if dry_run else configuration.settings)
    held_back = emission.rejected or emission.unfinished is not None
    if emission.stopped or (held_back and (strict or not emission.sent)) or (strict and emission.refused):
        ctx.exit(1)
