"""`creditmeter prices`: check a price book, compare two, publish one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.terminal.command import Group
from cli.terminal.options import json_option, with_configuration
from cli.terminal.output import print_json, print_line, print_status

if TYPE_CHECKING:
    from application.configuration.sources import Configuration
    from metering.prices import Book

_BOOK = click.Path(exists=True, dir_okay=False)


@click.group(
    cls=Group,
    epilog="""
    creditmeter prices check prices.yaml
    creditmeter prices diff --published prices.yaml
    creditmeter prices publish prices.yaml
    """,
)
def prices() -> None:
    """Check, compare and publish price books."""


@prices.command(
    short_help="Find all mistakes of a book, or show its prices.",
    epilog="""
    creditmeter prices check examples/prices/pixel.yaml
    """,
)
@click.argument("book", type=_BOOK)
@json_option
@click.pass_context
def check(ctx: click.Context, book: str, *, as_json: bool) -> None:
    """Check BOOK and show its prices; all mistakes are reported at once, each with its line.

    Exit code 1 when there are mistakes.
    """
    from application.prices.files import shown_mistake, try_book_file
    from schemas.price_book import book_id

    text, checked, mistakes = try_book_file(book)
    if as_json:
        plain = [mistake._asdict() for mistake in mistakes]
        result: dict[str, Any] = {"good": not mistakes, "book_id": book_id(text), "mistakes": plain}
        known = {"versions": _plain(checked), "rate_limits": _plain_limits(checked)} if checked else {}
        print_json(result | known)
    elif checked is None:
        for mistake in mistakes:
            print_status(shown_mistake(book, mistake))
        print_status(f"{book}: {len(mistakes)} mistake{'s' if len(mistakes) != 1 else ''}")
    else:
        _print_book(checked)
        print_status(f"{book}: good, book_id {book_id(text)}")
    if checked is None:
        ctx.exit(1)


@prices.command(
    short_help="Show what differs between two books.",
    epilog="""
    creditmeter prices diff prices-old.yaml prices.yaml
    creditmeter prices diff --published prices.yaml
    """,
)
@click.argument("books", nargs=-1, required=True, type=_BOOK, metavar="[OLD] NEW")
@click.option("--published", is_flag=True, help="Compare with the book in force in the log; OLD is left out.")
@json_option
@with_configuration
def diff(configuration: Configuration, books: tuple[str, ...], *, published: bool, as_json: bool) -> None:
    """Show what differs between two price books, by version, charge and field."""
    from application.pipeline import opened
    from application.prices.differences import book_changes, shown_changes
    from application.prices.files import read_book_file
    from application.prices.publishing import book_in_force

    if len(books) != (1 if published else 2):
        raise click.UsageError("give OLD and NEW, or --published and NEW")
    _, new = read_book_file(books[-1])
    if published:
        with opened(configuration.settings) as pipeline:
            old = book_in_force(pipeline)
    else:
        _, old = read_book_file(books[0])
    changes = book_changes(old, new)
    if as_json:
        print_json([change._asdict() for change in changes])
        return
    for line in shown_changes(changes, new, old):
        print_line(line)
    if not changes:
        print_status("The books mean the same.")


@prices.command(
    short_help="Mark your OpenAPI document with what calls cost.",
    epilog="""
    creditmeter prices openapi api.yaml > priced.yaml
    creditmeter prices openapi --prices next.yaml api.json
    """,
)
@click.argument("file", type=_BOOK)
@click.option("--prices", "book", type=_BOOK, help="This price book (YAML) instead of the one in force.")
@with_configuration
def openapi(configuration: Configuration, file: str, book: str | None) -> None:
    """Print the OpenAPI document FILE (JSON or YAML) with `x-credits` and `x-rate-limits` in every operation.

    They are those of the version in force now whose endpoint is the operation's path, with or without the base path of
    the document's servers, and those that are for every endpoint. Everything else stays as it is, but for YAML's
    comments.
    """
    from application.pipeline import opened
    from application.prices.files import read_book_file
    from application.prices.openapi_marks import marked, read_document, written
    from application.prices.publishing import book_in_force
    from streams import clock

    document, is_json = read_document(file)
    if book is not None:
        prices_ = read_book_file(book)[1]
    else:
        with opened(configuration.settings) as pipeline:
            prices_ = book_in_force(pipeline)
    click.echo(written(marked(document, prices_, clock.now_ms()), as_json=is_json))


@prices.command(
    short_help="Put a book in force.",
    epilog="""
    creditmeter prices publish prices.yaml
    creditmeter prices publish --rerated january.ndjson prices.yaml
    """,
)
@click.argument("book", type=_BOOK)
@click.option(
    "--rerated", "plan", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Let it change the past, as the plan of `creditmeter rerate --plan` has shown.",
)  # fmt: skip
@json_option
@with_configuration
def publish(configuration: Configuration, book: str, plan: Path | None, *, as_json: bool) -> None:
    """Put BOOK in force, in every partition of the log.

    Publishing the book that is in force does nothing. One that was cut short is taken up again, with its first time
    of publication. Refused where it would change prices already in force: versions in force stay as they are, and a
    new version begins at the time of publication or later. The first book may begin in the past, and so may one whose
    whole effect on the past a re-rating has shown (--rerated): what was charged stays, and is put right by
    `creditmeter rerate --apply`.
    """
    from application.pipeline import opened
    from application.prices.files import read_book_file
    from application.prices.publishing import publish_book
    from application.rerating.plan import read_plan
    from streams import clock

    text, _ = read_book_file(book)
    rerated = None if plan is None else read_plan(plan)
    with opened(configuration.settings) as pipeline:
        result = publish_book(pipeline, text, clock.now_ms(), rerated)
    if as_json:
        print_json(result._asdict())
    else:
        print_status(result.sentence())


def _plain(book: Book) -> list[dict[str, Any]]:
    from application.prices.files import charge_facts

    return [
        {
            "version": version.version,
            "effective_from": version.effective_from,
            "overrides_lock": version.overrides_lock,
            "charges": [{"charge": charge.charge, **charge_facts(charge)} for charge in version.charges],
        }
        for version in book.versions
    ]


def _plain_limits(book: Book) -> list[dict[str, Any]]:
    return [
        {
            "name": limit.name,
            "when": {name: list(wanted) for name, wanted in limit.when.items()},
            "requests": limit.requests,
            "per": limit.per,
            "plans": dict(limit.plans),
        }
        for limit in book.rate_limits
    ]


def _print_book(book: Book) -> None:
    from application.prices.files import charge_facts, shown_rate_limit
    from application.wording import shown_duration, shown_time
    from cli.terminal.tables import print_table

    print_line(
        f"price_lock {book.price_lock}, accept_window {shown_duration(book.accept_window)}, "
        f"future_skew {shown_duration(book.future_skew)}"
    )
    for limit in book.rate_limits:
        print_line(f"rate limit {limit.name}: {shown_rate_limit(limit)}")
    columns = ("charge", "credits", "per", "credit_type", "plans", "unique", "when")
    for version in book.versions:
        lock = ", also for accounts with locked prices" if version.overrides_lock else ""
        print_line()
        print_line(f"version {version.version}, from {shown_time(version.effective_from)}{lock}")
        facts = ({"charge": charge.charge, **charge_facts(charge)} for charge in version.charges)
        print_table(columns, [[fact[name] or "" for name in columns] for fact in facts], right=("credits",))
