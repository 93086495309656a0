"""Which field of a command is the first wrong one: the oracle's own reading, field by field, in the schema's order."""

from __future__ import annotations

import ipaddress
import unicodedata
from datetime import UTC, datetime
from typing import Any

import idna

DAY = 86_400_000
LONG_MIN, LONG_MAX = -(2**63), 2**63 - 1
YEAR_2000, YEAR_10000 = (
    int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) * 1_000 + over for year, over in ((2000, 0), (9999, 365 * DAY))
)
OUTCOMES = ("processed", "invalid", "unauthenticated", "rate_limited", "blocked", "failed")
LABEL_LETTERS = set("abcdefghijklmnopqrstuvwxyz0123456789-_")


def canonical_ip(text: str) -> str:
    """IPv6 compressed, IPv4-mapped as IPv4; ValueError where it is no address."""
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return address.compressed


def canonical_domain(text: str) -> str:
    """UTS #46, no trailing dot, no leading `www.` where two labels remain; ValueError if it is no domain."""
    domain = ".".join(label_in_ascii(label) for label in mapped(text).split("."))
    domain = domain.removesuffix(".")
    # reading: the rules for a domain are for its encoded form before `www.` is taken off.
    labels = domain.split(".")
    if len(domain) > 253 or len(labels) < 2 or labels[-1].isdigit():
        raise ValueError(text)
    for label in labels:
        if not 1 <= len(label) <= 63 or not set(label) <= LABEL_LETTERS or label[0] == "-" or label[-1] == "-":
            raise ValueError(text)
    if labels[0] == "www" and len(labels) >= 3:
        labels = labels[1:]
    return ".".join(labels)


def mapped(text: str) -> str:
    """Each character as UTS #46 maps it by itself, then composed: nothing that a mapping gives is mapped again."""
    return unicodedata.normalize("NFC", "".join(idna.uts46_remap(letter, False) for letter in text))


def label_in_ascii(label: str) -> str:
    if not label.startswith("xn--"):
        return label if label.isascii() else "xn--" + label.encode("punycode").decode()
    # reading: `xn--` promises the Punycode of a label that is mapped already; browsers refuse another one.
    meant = label[4:].encode("ascii").decode("punycode")
    if meant.isascii() or mapped(meant) != meant or label_in_ascii(meant) != label:
        raise ValueError(label)
    return label


def is_text(value: Any, longest: int, shortest: int = 1) -> bool:
    # reading: a length is in characters, and text that has no UTF-8 (half of a surrogate pair) is of a wrong type.
    if not isinstance(value, str) or any("\ud800" <= letter <= "\udfff" for letter in value):
        return False
    return shortest <= len(value) <= longest


def is_long(value: Any, least: int = LONG_MIN, most: int = LONG_MAX) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def is_time(value: Any) -> bool:
    """A time of the years 2000 to 9999, whatever it is about."""
    return is_long(value, least=YEAR_2000, most=YEAR_10000 - 1)


def is_optional_text(value: Any, longest: int = 256) -> bool:
    return value is None or is_text(value, longest, shortest=0)  # an empty optional string is null


def is_ip(value: Any) -> bool:
    if not is_optional_text(value):
        return False
    try:
        canonical_ip(value or "::1")
    except ValueError:
        return False
    return True


def is_domain(value: Any) -> bool:
    if not is_optional_text(value):
        return False
    try:
        canonical_domain(value or "a.example")
    except ValueError:
        return False
    return True


def is_map(value: Any, is_value: Any, most: int | None) -> bool:
    if value is None:
        return True  # null stands for an absent map
    if not isinstance(value, dict) or (most is not None and len(value) > most):
        return False
    # reading: the names in a map are "other strings": 1 to 256 characters.
    return all(is_text(name, 256) and is_value(item) for name, item in value.items())


def is_plan(value: Any) -> bool:
    if value is None:
        return True
    if not isinstance(value, dict) or not set(value) <= {"name", "started_at", "ends_at"}:
        return False
    if not is_text(value.get("name"), 256) or not is_time(value.get("started_at")):
        return False
    ends_at = value.get("ends_at")
    # reading: a plan that ends before or as it starts is wrong, as a grant that expires before it is granted is.
    return ends_at is None or (is_time(ends_at) and ends_at > value["started_at"])


def is_grant_id(value: Any) -> bool:
    return is_text(value, 128) and not value.startswith("refund:")


# reading: "null stands for a default": outcome processed, on_empty allow, reason empty.
# reading: request_id and actor are "other strings" (up to 256), as they have no limit of their own.
REQUEST = {
    "event_id": lambda v, _: is_text(v, 128),
    "account_id": lambda v, _: is_text(v, 128),
    "occurred_at": lambda v, _: is_time(v),
    "endpoint": lambda v, _: is_text(v, 256),
    "channel": lambda v, _: is_text(v, 256),
    "outcome": lambda v, _: v is None or v in OUTCOMES,  # null stands for the default
    "request_id": lambda v, _: is_optional_text(v),
    "actor": lambda v, _: is_optional_text(v),
    "user_id": lambda v, _: is_optional_text(v),
    "ip": lambda v, _: is_ip(v),
    "domain": lambda v, _: is_domain(v),
    "plan": lambda v, _: is_optional_text(v),
    "hold_id": lambda v, _: is_optional_text(v, 128),
    "keeps_hold": lambda v, _: v is None or isinstance(v, bool),
    "quantities": lambda v, _: is_map(v, lambda n: is_long(n, 0, 10**9), 32),
    "attributes": lambda v, _: is_map(v, lambda s: is_text(s, 1024, shortest=0), 32),
}
REFUND = {
    "refund_id": lambda v, _: is_text(v, 128),
    "account_id": lambda v, _: is_text(v, 128),
    "event_id": lambda v, _: is_text(v, 128),
    "charge": lambda v, _: is_optional_text(v),
    "credits": lambda v, _: v is None or is_long(v, least=1),
    "reason": lambda v, _: is_optional_text(v, 1024),
    "requested_at": lambda v, _: is_time(v),
}
HOLD = {
    "hold_id": lambda v, _: is_text(v, 128),
    "account_id": lambda v, _: is_text(v, 128),
    "credits": lambda v, _: bool(v) and is_map(v, lambda n: is_long(n, 1, 10**12), 8),
    "held_at": lambda v, _: is_time(v),
    "expires_at": lambda v, record: is_time(v) and 1 <= v - record["held_at"] <= 30 * DAY,
    "reason": lambda v, _: is_optional_text(v, 1024),
}
GRANT = {
    "grant_id": lambda v, _: is_grant_id(v),
    "account_id": lambda v, _: is_text(v, 128),
    "credit_type": lambda v, _: is_text(v, 256),
    "credits": lambda v, _: is_long(v, 1, 10**12),
    "granted_at": lambda v, _: is_time(v),
    "expires_at": lambda v, record: v is None or (is_time(v) and v > record["granted_at"]),
    "reason": lambda v, _: is_optional_text(v, 1024),
}
ACCOUNT = {
    "update_id": lambda v, _: is_text(v, 128),
    "account_id": lambda v, _: is_text(v, 128),
    "plan": lambda v, _: is_plan(v),
    "on_empty": lambda v, _: v in (None, "allow", "reject"),
    # reading: a mark is any long; nothing limits the number of entries.
    "alert_below": lambda v, _: is_map(v, is_long, None),
    "at": lambda v, _: is_time(v),
}
FIELDS = {"request": REQUEST, "hold": HOLD, "refund": REFUND, "grant": GRANT, "account": ACCOUNT}


def first_wrong_field(command: str, record: dict[str, Any]) -> str | None:
    """The name of the first wrong field in the schema's order; a name that the schema has not comes after all of it."""
    for name, is_right in FIELDS[command].items():
        if not is_right(record.get(name), record):
            return name
    # reading: an unknown field stands after the schema's own.
    return next((name for name in record if name not in FIELDS[command]), None)


def in_full(command: str, record: dict[str, Any]) -> dict[str, Any]:
    """A right record with every field: empty optional strings null, absent maps empty, defaults set."""
    full = {name: record.get(name) for name in FIELDS[command]}
    defaults = {"quantities": {}, "attributes": {}, "alert_below": {}, "keeps_hold": False}
    defaults |= {"outcome": "processed", "on_empty": "allow", "reason": ""}
    for name, value in full.items():
        if value is None or value == "":
            full[name] = defaults.get(name)
    return full
