"""Why an event cost what it cost, from its rows, its refunds and its hold in ClickHouse and the price book: no replay.

It says what the rows say. What only a replay knows (balances of grants before the event, why a version was locked, who
had paid before) is left to `explain`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from application.explaining.reasons import because, counted, headline, unique_sentences, when_sentence
from application.usage.as_of import AsOf
from application.usage.conditions import Bound
from application.usage.history import HistoryQuery, UsageReader
from application.usage.query import Filters
from application.usage.rows import RowKind, UsageRow
from application.usage.scope import UsageScope
from application.usage.store import Row, UsageStore
from application.wording import amount, amounts, shown_time
from metering.book import Book, Charge, Version
from metering.explaining_prices import conditions_of
from metering.explanation import Explanation, LineStory, Subject, UniqueStory
from metering.records import Decision
from metering.subjects import canonical_domain, canonical_ip

_LETTERS = """SELECT reason, field, detail, toUnixTimestamp64Milli(recorded_at) AS recorded_ms
FROM dead_letter_rows FINAL
WHERE command = 'request' AND account_id = {account} AND id = {event} ORDER BY recorded_ms LIMIT 100"""
_HOLDS = """SELECT hold_id, status, toUnixTimestamp64Milli(expires_at) AS expires_ms,
    toUnixTimestamp64Milli(at) AS changed_ms, event_id FROM hold_rows FINAL
WHERE account_id = {account} AND hold_id = {hold} ORDER BY source_offset, position LIMIT 100"""


@dataclass(frozen=True, slots=True)
class EventExplanation:
    """An event as data and sentences. `lines` and `refunds` are rows of the history; `dead_letters` what was set aside.

    `sentences` tell it in order; `credits` by credit type what was charged, `refunded` what was given back.
    """

    event_id: str
    account_id: str
    as_of: AsOf
    lines: list[UsageRow]
    refunds: list[UsageRow]
    dead_letters: list[Row]
    holds: list[Row]
    credits: dict[str, int]
    refunded: dict[str, int]
    sentences: list[str]


def explain_from_rows(
    reader: UsageReader, scope: UsageScope, event_id: str, book: Book | None
) -> EventExplanation | None:
    """The event's explanation; None where neither lines nor dead letters of it are loaded. Raises Failed."""
    if scope.account_id is None:
        raise ValueError("an explanation is about one account's event")
    filters = Filters(event_id=(event_id,))
    filters.check()
    query = HistoryQuery(scope, filters, refunds=True, limit=1_000)
    page = reader.page(query)
    lines = sorted((row for row in page.rows if row.kind is RowKind.LINE), key=lambda row: row.fields["line"])
    refunds = [row for row in reversed(page.rows) if row.kind is RowKind.REFUND]
    letters = [] if scope.actor is not None else _letters(reader.store, scope.account_id, event_id)
    if not lines and not letters:
        return None
    hold_id = lines[0].fields["hold_id"] if lines else None
    holds = [] if hold_id is None else _holds(reader.store, scope.account_id, hold_id)
    charged, given_back = _sums(lines, 1), _sums(refunds, -1)
    sentences = list(_told(event_id, scope.account_id, lines, refunds, letters, holds, book))
    return EventExplanation(
        event_id, scope.account_id, page.as_of, lines, refunds, letters, holds, charged, given_back, sentences
    )


def _letters(store: UsageStore, account_id: str, event_id: str) -> list[Row]:
    bound = Bound()
    sql = _LETTERS.format(account=bound.bind(account_id, "String"), event=bound.bind(event_id, "String"))
    return store.rows(sql, bound.parameters)


def _holds(store: UsageStore, account_id: str, hold_id: str) -> list[Row]:
    bound = Bound()
    sql = _HOLDS.format(account=bound.bind(account_id, "String"), hold=bound.bind(hold_id, "String"))
    return store.rows(sql, bound.parameters)


def _sums(rows: list[UsageRow], sign: int) -> dict[str, int]:
    sums: dict[str, int] = {}
    for row in rows:
        if row.fields["credits"]:
            kind = row.fields["credit_type"]
            sums[kind] = sums.get(kind, 0) + sign * row.fields["credits"]
    return sums


def _told(
    event_id: str, account_id: str, lines: list[UsageRow], refunds: list[UsageRow], letters: list[Row],
    holds: list[Row], book: Book | None,
) -> Iterator[str]:  # fmt: skip
    if lines:
        first = lines[0].fields
        charged = _sums(lines, 1)
        became = f"charged {amounts(charged)}" if charged else "charged nothing"
        yield f"Event {event_id} of account {account_id}: {became}."
        yield (
            f"It occurred at {shown_time(first['occurred_at'])}: {first['endpoint']}, channel {first['channel']}, "
            f"outcome {first['outcome']}."
        )
        if first["hold_id"] is not None:
            yield _hold(first["hold_id"], holds)
    for line in lines:
        yield from _line(line.fields, book)
    for refund in refunds:
        yield _refund(refund.fields)
    if not refunds and _sums(lines, 1):
        yield "Nothing was given back."
    for letter in letters:
        field = f" (field {letter['field']})" if letter["field"] else ""
        when = shown_time(int(letter["recorded_ms"]))
        yield f"An event of this id was set aside at {when} as {letter['reason']}{field}: {letter['detail']}."


def _hold(hold_id: str, holds: list[Row]) -> str:
    if not holds:
        return f"It drew on hold {hold_id}."
    last = holds[-1]
    return f"It drew on hold {hold_id}, which is {last['status']} since {shown_time(int(last['changed_ms']))}."


def _line(fields: Mapping[str, Any], book: Book | None) -> Iterator[str]:
    version, charge = _priced(fields, book)
    story = LineStory(
        dict(fields),
        () if charge is None else conditions_of(charge, dict(fields), fields["plan"]),
        None if charge is None else charge.per,
        0 if charge is None else charge.credits,
        charge is not None and fields["plan"] in charge.plans,
        _unique(fields, charge),
    )
    explanation = Explanation(dict(fields), fields["occurred_at"], None, None, lines=(story,))
    yield f"{headline(story)}."
    if fields["charge"] is not None:
        if charge is not None:
            yield when_sentence(story)
        yield _version(fields, version, book)
        yield counted(story)
    if fields["decision"] == Decision.UNPRICED:
        yield "No charge of the prices in force applied to it."
    elif fields["decision"] == Decision.DUPLICATE:
        ends_at = fields["window_ends_at"]
        until = "for ever" if ends_at is None else f"until {shown_time(ends_at)}"
        owner = fields["owner_event_id"]  # not told to somebody who sees one actor's usage alone
        payer = "An earlier event of the account" if owner is None else f"Event {owner}"
        yield f"{payer} has paid for it: others are free {until}."
    else:
        yield from because(explanation, story)
    if story.unique is not None:
        yield from unique_sentences(story, story.unique)
    if fields["decision"] == Decision.CHARGED:
        yield f"Balance: {amount(fields['balance_after'], fields['credit_type'])} after it."
        for draw in fields["grants_used"]:
            yield f"{draw['credits']:,} came from grant {draw['grant_id']}."


def _priced(fields: Mapping[str, Any], book: Book | None) -> tuple[Version | None, Charge | None]:
    """The line's version and charge, as the book in force has them: versions in force never change."""
    for version in () if book is None else book.versions:
        if version.version == fields["price_version"]:
            return version, next((charge for charge in version.charges if charge.charge == fields["charge"]), None)
    return None, None


def _version(fields: Mapping[str, Any], version: Version | None, book: Book | None) -> str:
    name = fields["price_version"]
    if version is None or book is None:
        return f"Price version {name} applies."
    since = shown_time(version.effective_from)
    if book.version_at(fields["occurred_at"]) is version:
        return f"Price version {name} applies: it was in force, since {since}, when the event occurred."
    return f"Price version {name}, in force since {since}, applies: the account's plan {fields['plan']} keeps it."


def _unique(fields: Mapping[str, Any], charge: Charge | None) -> UniqueStory | None:
    if charge is None or charge.unique is None:
        return None
    subjects = tuple(Subject(name, given, _compared(name, given)) for name, given in _given(fields, charge))
    return UniqueStory(charge.unique.window.kind, charge.unique.window.ms, subjects)


def _compared(name: str, given: str | None) -> str | None:
    """A subject as claims compare it."""
    if given is None:
        return None
    return canonical_ip(given) if name == "ip" else canonical_domain(given) if name == "domain" else given


def _given(fields: Mapping[str, Any], charge: Charge) -> list[tuple[str, str | None]]:
    names = () if charge.unique is None else charge.unique.by
    return [
        (name, fields["attributes"].get(name.removeprefix("attributes.")) if "." in name else fields[name])
        for name in names
    ]


def _refund(fields: Mapping[str, Any]) -> str:
    reason = f" ({fields['reason']})" if fields["reason"] else ""
    lost = f", {fields['forfeited']:,} of them forfeited because their grant had ended" if fields["forfeited"] else ""
    left = fields["remaining_charge"]
    kept = f"{amount(left, fields['credit_type'])} of the charge left" if left else "all of the charge"
    return (
        f"Refund {fields['refund_id']} at {shown_time(fields['date'])}{reason}: "
        f"{amount(-fields['credits'], fields['credit_type'])} given back for {fields['charge']}{lost}: {kept}."
    )
