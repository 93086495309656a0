"""Checks a command's fields, in the order of its Avro schema, and brings absent ones to their plain form.

Each check returns the name of the first bad field, or None where the record is good. A good record is changed in place:
absent or empty optional strings become None, absent maps become empty. Records may come from Avro (types are right
already) or from JSON (anything is possible), so every check looks at types too.
"""

from __future__ import annotations

from typing import Any, Final

from metering.records import (
    LAST_INSTANT,
    MAX_GRANT,
    MAX_HOLD_MS,
    MAX_HOLD_TYPES,
    MAX_ID,
    MAX_LONG,
    REFUND_GRANT_PREFIX,
    YEAR_2000,
    OnEmpty,
    Outcome,
    Record,
)
from metering.subjects import canonical_domain, canonical_ip

MAX_TEXT: Final = 256
MAX_REASON: Final = 1_024
MAX_ATTRIBUTE: Final = 1_024
MAX_ENTRIES: Final = 32
MAX_QUANTITY: Final = 10**9

_OUTCOMES: Final = frozenset(str(outcome) for outcome in Outcome)
_ON_EMPTY = frozenset(str(choice) for choice in OnEmpty)

EVENT_FIELDS = (
    "event_id", "account_id", "occurred_at", "endpoint", "channel", "outcome", "request_id", "actor", "user_id", "ip",
    "domain", "plan", "hold_id", "keeps_hold", "quantities", "attributes",
)  # fmt: skip
_EVENT_FIELDS: Final = frozenset(EVENT_FIELDS)
_OPTIONAL_TEXTS: Final = ("request_id", "actor", "user_id", "ip", "domain", "plan")
_REFUND_FIELDS = frozenset(("refund_id", "account_id", "event_id", "charge", "credits", "reason", "requested_at"))
_HOLD_FIELDS = frozenset(("hold_id", "account_id", "credits", "held_at", "expires_at", "reason"))
_GRANT_FIELDS = frozenset(
    ("grant_id", "account_id", "credit_type", "credits", "granted_at", "expires_at", "reason"),
)
_ACCOUNT_FIELDS = frozenset(("update_id", "account_id", "plan", "on_empty", "alert_below", "at"))
_PLAN_FIELDS = frozenset(("name", "started_at", "ends_at"))
_BOOK_FIELDS = frozenset(("book_id", "yaml", "published_at"))


def check_event(event: Record) -> str | None:
    """The first bad field of a request event, or None."""
    if not _is_text(event.get("event_id"), MAX_ID):
        return "event_id"
    if not _is_text(event.get("account_id"), MAX_ID):
        return "account_id"
    if not _is_time(event.get("occurred_at")):
        return "occurred_at"
    if not _is_text(event.get("endpoint"), MAX_TEXT):
        return "endpoint"
    if not _is_text(event.get("channel"), MAX_TEXT):
        return "channel"
    outcome = event.get("outcome")
    if type(outcome) is not str or outcome not in _OUTCOMES:
        return "outcome"
    for field in _OPTIONAL_TEXTS:
        text = event.get(field, "")
        if text is None:  # most are absent: there is nothing to bring to a plain form
            continue
        if text == "":
            event[field] = None
        elif not _is_text(text, MAX_TEXT) or not _is_subject(field, text):
            return field
    if event.get("hold_id", "") is not None or event.get("keeps_hold") is not False:  # few events name a hold
        bad = _check_hold_of_event(event)
        if bad is not None:
            return bad
    quantities = event.get("quantities")
    if quantities is None:
        event["quantities"] = {}
    elif not _are_quantities(quantities):
        return "quantities"
    attributes = event.get("attributes")
    if attributes is None:
        event["attributes"] = {}
    elif not _are_attributes(attributes):
        return "attributes"
    return None if len(event) == len(_EVENT_FIELDS) else _unknown(event, _EVENT_FIELDS)


def _is_subject(field: str, text: str) -> bool:
    """Whether an address is one, and a domain; other fields may be any text."""
    if field == "ip":
        return canonical_ip(text) is not None
    return field != "domain" or canonical_domain(text) is not None


def _check_hold_of_event(event: Record) -> str | None:
    """The first bad one of the two fields of an event about its hold, or None."""
    hold_id = event.get("hold_id")
    if hold_id is None or hold_id == "":
        event["hold_id"] = None
    elif not _is_text(hold_id, MAX_ID):
        return "hold_id"
    keeps_hold = event.get("keeps_hold")
    if keeps_hold is None:
        event["keeps_hold"] = False
    elif type(keeps_hold) is not bool:
        return "keeps_hold"
    return None


def check_hold(hold: Record) -> str | None:
    """The first bad field of a hold, or None."""
    for field in ("hold_id", "account_id"):
        if not _is_text(hold.get(field), MAX_ID):
            return field
    credits_ = hold.get("credits")
    if (
        type(credits_) is not dict
        or not 1 <= len(credits_) <= MAX_HOLD_TYPES
        or not all(_is_text(name, MAX_TEXT) and _is_whole(some, 1, MAX_GRANT) for name, some in credits_.items())
    ):
        return "credits"
    if not _is_time(hold.get("held_at")):
        return "held_at"
    held_at = hold["held_at"]
    if not _is_time(hold.get("expires_at")) or not held_at < hold["expires_at"] <= held_at + MAX_HOLD_MS:
        return "expires_at"
    if not _is_reason(hold):
        return "reason"
    return _unknown(hold, _HOLD_FIELDS)


def check_refund(refund: Record) -> str | None:
    """The first bad field of a refund request, or None."""
    for field in ("refund_id", "account_id", "event_id"):
        if not _is_text(refund.get(field), MAX_ID):
            return field
    if not _is_optional_text(refund, "charge"):
        return "charge"
    credits_ = refund.setdefault("credits", None)
    if credits_ is not None and not _is_whole(credits_, 1, MAX_LONG):
        return "credits"
    if not _is_reason(refund):
        return "reason"
    if not _is_time(refund.get("requested_at")):
        return "requested_at"
    return _unknown(refund, _REFUND_FIELDS)


def check_grant(grant: Record) -> str | None:
    """The first bad field of a grant, or None."""
    grant_id = grant.get("grant_id")
    if not _is_text(grant_id, MAX_ID) or str(grant_id).startswith(REFUND_GRANT_PREFIX):
        return "grant_id"
    if not _is_text(grant.get("account_id"), MAX_ID):
        return "account_id"
    if not _is_text(grant.get("credit_type"), MAX_TEXT):
        return "credit_type"
    if not _is_whole(grant.get("credits"), 1, MAX_GRANT):
        return "credits"
    if not _is_time(grant.get("granted_at")):
        return "granted_at"
    expires_at = grant.setdefault("expires_at", None)
    if expires_at is not None and not _is_whole(expires_at, grant["granted_at"] + 1, LAST_INSTANT):
        return "expires_at"
    if not _is_reason(grant):
        return "reason"
    return _unknown(grant, _GRANT_FIELDS)


def check_account_update(update: Record) -> str | None:
    """The first bad field of an account update, or None."""
    for field in ("update_id", "account_id"):
        if not _is_text(update.get(field), MAX_ID):
            return field
    plan = update.setdefault("plan", None)
    if plan is not None and not _is_plan(plan):
        return "plan"
    if update.get("on_empty") is None:
        update["on_empty"] = OnEmpty.ALLOW.value
    if not isinstance(update["on_empty"], str) or update["on_empty"] not in _ON_EMPTY:
        return "on_empty"
    marks = update.get("alert_below")
    if marks is None:
        marks = update["alert_below"] = {}
    if not isinstance(marks, dict) or not all(
        _is_text(name, MAX_TEXT) and _is_whole(mark, -MAX_LONG - 1, MAX_LONG) for name, mark in marks.items()
    ):
        return "alert_below"
    if not _is_time(update.get("at")):
        return "at"
    return _unknown(update, _ACCOUNT_FIELDS)


def check_price_book(book: Record) -> str | None:
    """The first bad field of a price book command, or None; the book's own text is read elsewhere."""
    if not _is_text(book.get("book_id"), MAX_ID):
        return "book_id"
    if not isinstance(book.get("yaml"), str) or not book["yaml"]:
        return "yaml"
    if not _is_time(book.get("published_at")):
        return "published_at"
    return _unknown(book, _BOOK_FIELDS)


def _is_text(value: Any, longest: int) -> bool:
    """A string of 1 to ``longest`` characters that UTF-8 can hold (JSON can hold half a surrogate pair)."""
    return type(value) is str and 0 < len(value) <= longest and (value.isascii() or _is_encodable(value))


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_whole(value: Any, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most


def _is_time(value: Any) -> bool:
    """A time of the years 2000 to 9999: others are seconds or microseconds by mistake (SPEC 1)."""
    return type(value) is int and YEAR_2000 <= value <= LAST_INSTANT


def _clears(record: Record, field: str) -> bool:
    """Turns an absent or empty optional string into None; False where the value is some other empty thing."""
    if record.get(field) not in (None, ""):
        return False
    record[field] = None
    return True


def _is_optional_text(record: Record, field: str) -> bool:
    if not record.get(field):
        return _clears(record, field)
    return _is_text(record[field], MAX_TEXT)


def _is_reason(record: Record) -> bool:
    """A reason is a text of at most 1,024 characters; it may be empty, and absent stands for empty."""
    reason = record.get("reason")
    if reason is None:
        reason = record["reason"] = ""
    return reason == "" or _is_text(reason, MAX_REASON)


def _are_quantities(quantities: Any) -> bool:
    if type(quantities) is not dict or len(quantities) > MAX_ENTRIES:
        return False
    for name, amount in quantities.items():
        if not _is_text(name, MAX_TEXT):
            return False
        if type(amount) is not int or not 0 <= amount <= MAX_QUANTITY:
            return False
    return True


def _are_attributes(attributes: Any) -> bool:
    if type(attributes) is not dict or len(attributes) > MAX_ENTRIES:
        return False
    for name, text in attributes.items():
        if not _is_text(name, MAX_TEXT):
            return False
        if type(text) is not str or len(text) > MAX_ATTRIBUTE or not (text.isascii() or _is_encodable(text)):
            return False
    return True


def _is_plan(plan: Any) -> bool:
    if type(plan) is not dict or _unknown(plan, _PLAN_FIELDS) is not None:
        return False
    if not _is_text(plan.get("name"), MAX_TEXT) or not _is_time(plan.get("started_at")):
        return False
    ends_at = plan.setdefault("ends_at", None)
    return ends_at is None or _is_whole(ends_at, plan["started_at"] + 1, LAST_INSTANT)


def _unknown(record: Record, fields: frozenset[str]) -> str | None:
    if len(record) <= len(fields) and record.keys() <= fields:
        return None
    return next((str(name) for name in record if name not in fields), None)
