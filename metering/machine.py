"""The account state machine: `apply` takes one command after another and says what each causes.

Pure and deterministic: no clock, no I/O, no randomness. The same commands with the same recorded times give the same
outputs, byte for byte, on every machine.
"""

from __future__ import annotations

from collections.abc import Callable

from metering.account import Account
from metering.charging import apply_request
from metering.holding import apply_hold
from metering.records import (
    ID_FIELD,
    MAX_LONG,
    TIME_FIELD,
    Command,
    DeadLetterReason,
    GrantStatus,
    Kind,
    Output,
    Record,
    dead_letter,
    repeated,
)
from metering.refunds import RefundPlan, apply_refund, plan_refund, refund_overflows
from metering.state import State, book_id_of
from metering.validation import check_account_update, check_grant, check_hold, check_price_book, check_refund

MAX_OPEN_GRANTS = 10_000
"""Open grants of one account and credit type. A line names every grant that it used, and has to fit a Kafka message."""

_COMMAND_TAG = {Command.REFUND: b"r", Command.GRANT: b"g", Command.ACCOUNT: b"u"}
_CHECKS: dict[Command, Callable[[Record], str | None]] = {
    Command.HOLD: check_hold,
    Command.REFUND: check_refund,
    Command.GRANT: check_grant,
    Command.ACCOUNT: check_account_update,
    Command.PRICE_BOOK: check_price_book,
}


def apply(
    state: State,
    command: str,
    record: Record,
    recorded_at: int,
    offset: int | None = None,
    index: int | None = None,
    digest: bytes | None = None,
) -> list[Output]:
    """Applies one command to ``state``; returns its outputs in the order in which they happen.

    ``command`` is one of `Command`; ``record`` the command's fields, which may be changed in place to their plain form;
    ``recorded_at`` the time of the log record that brought it (ms UTC). ``offset`` and ``index`` say where it stands in
    its partition of the log (index: in a batch of events), ``digest`` is that of its bytes there: they are kept with
    the command's id, so that a repeat can say where the first stood and whether it was the same; None is not known.

    Whatever the record holds ends as outputs: nothing raises for bad input. Order: grants, then holds expired before
    the command, its own outputs, the change of the hold that it draws on, what expires on arrival, alerts.
    """
    if command == Command.REQUEST:
        return apply_request(state, record, recorded_at, offset, index, digest)
    kind = Command(command)
    bad = _CHECKS[kind](record)
    if bad is not None:
        return [dead_letter(DeadLetterReason.INVALID_EVENT, bad, kind, record)]
    if record[TIME_FIELD[kind]] > recorded_at + state.future_skew:
        return [dead_letter(DeadLetterReason.IN_FUTURE, None, kind, record)]
    if kind is Command.PRICE_BOOK:
        return _apply_price_book(state, record)
    if kind is Command.HOLD:
        return apply_hold(state, record, recorded_at, offset, digest)
    return _apply_account_command(state, kind, record, recorded_at, offset, digest)


def _apply_account_command(
    state: State, kind: Command, record: Record, recorded_at: int, offset: int | None, digest: bytes | None
) -> list[Output]:
    """What refunds, grants and account updates have in common: ids for ever, time, forfeits, alerts."""
    account = state.account(record["account_id"])
    own_id: str = record[ID_FIELD[kind]]
    key = account.id_prefix + _COMMAND_TAG[kind] + own_id.encode()
    known = state.get(key)
    if known is not None:
        return [repeated(kind, account.account_id, own_id, None, digest, known if isinstance(known, list) else ())]
    if kind is Command.GRANT and account.open_grants(record["credit_type"]) >= MAX_OPEN_GRANTS:
        return [dead_letter(DeadLetterReason.INVALID_EVENT, "grant_id", kind, record)]
    plan = plan_refund(state, account, record) if kind is Command.REFUND else None
    if _overflows(account, kind, record, plan):
        return [dead_letter(DeadLetterReason.INVALID_EVENT, "credits", kind, record)]
    state.touch(account.account_id)
    state.put(key, [offset, None, digest])
    at: int = record[TIME_FIELD[kind]]
    before = account.amounts()
    outputs = account.advance(at, state.accept_window, recorded_at)
    if plan is not None:
        outputs += apply_refund(state, account, record, plan)
    elif kind is Command.GRANT:
        outputs += _apply_grant(account, record)
    else:
        outputs.append(_apply_settings(account, record))
    outputs += account.alerts(before, at)
    return outputs


def _apply_grant(account: Account, record: Record) -> list[Output]:
    expires_at: int | None = record["expires_at"]
    credit_type: str = record["credit_type"]
    grant = account.open_grant(credit_type, record["grant_id"], record["credits"], expires_at, record["reason"])
    outputs = [
        account.grant_output(grant, credit_type, GrantStatus.APPLIED, record["credits"], record["granted_at"]),
    ]
    if expires_at is not None and expires_at <= account.stream_time:
        outputs += account.expire()
    return outputs


def _apply_settings(account: Account, record: Record) -> Output:
    plan = record["plan"]
    account.plan = None if plan is None else [plan["name"], plan["started_at"], plan["ends_at"]]
    account.on_empty = str(record["on_empty"])
    account.alert_below = dict(record["alert_below"])
    change: Record = {
        "update_id": record["update_id"],
        "account_id": account.account_id,
        "plan": None if plan is None else dict(plan),
        "on_empty": account.on_empty,
        "alert_below": dict(account.alert_below),
        "at": record["at"],
    }
    return Output(Kind.ACCOUNT, change)


def _overflows(account: Account, kind: Command, record: Record, plan: RefundPlan | None) -> bool:
    """Whether an amount would take a balance beyond what a long holds."""
    if plan is not None:
        return refund_overflows(account, record, plan)
    if kind is not Command.GRANT:
        return False
    amount: int = record["credits"]
    return account.amount_at(record["credit_type"], record["granted_at"]) + amount > MAX_LONG


def _apply_price_book(state: State, record: Record) -> list[Output]:
    """Puts a book in force. The one already in force is a repeat; a text that is no book is an invalid command."""
    book_id, yaml = record["book_id"], record["yaml"]
    if book_id == state.book_id:
        return [repeated(Command.PRICE_BOOK, None, book_id)]
    if book_id != book_id_of(yaml):
        return [dead_letter(DeadLetterReason.INVALID_EVENT, "book_id", Command.PRICE_BOOK, record)]
    try:
        book = state.read_book(yaml)
    except ValueError:
        return [dead_letter(DeadLetterReason.INVALID_EVENT, "yaml", Command.PRICE_BOOK, record)]
    state.publish(book_id, book, record)
    return []
