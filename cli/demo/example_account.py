"""An example account with a history: what `creditmeter up --example` and `make demo ARGS=--keep` send to the log.

The same for the same seed, but for its times, which are counted back from now, so that the pages show a present.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

from application.accounts.standing import period_of
from application.prices.price_list import AccountPlan
from metering.windows import format_instant

ACCOUNT = "acme"
DAYS = 75
MEMBERS = (("anna", "Anna Berg", 5), ("ben", "Ben Okafor", 3), ("carla", "Carla Ruiz", 2), ("crm-sync", "CRM sync", 6))
"""Actor, name, and the share of the calls."""

_MINUTE, _HOUR, _DAY = 60_000, 3_600_000, 86_400_000
_DAILY = 62
_BOOK_NAME, _ANNOUNCED = "example_account.yaml", "2999-01-01T00:00:00Z"
_COMPANIES = tuple(
    f"{name}.example" for name in (
        "northwind", "bluepeak", "harbor", "lumen", "oakline", "quanta", "redwood", "solaris", "tidewater", "umbra",
        "vantage", "westfield", "yarrow", "zephyr", "arcadia", "brightway", "cobalt", "driftwood", "evergreen",
        "fairlight", "granite", "hillcrest", "ironbridge", "juniper",
    )
)  # fmt: skip
_PEOPLE = ("Jane Doe", "Omar Haddad", "Li Wei", "Sofia Rossi", "Tom Becker", "Aisha Khan", "Noah Martin", "Emma Novak")

# Endpoint, share, quantities (name, most).
_CALLS = (
    ("/v1/company", 26, None),
    ("/v1/people/search", 22, ("results", 25)),
    ("/v1/email/find", 24, ("results", 1)),
    ("/v1/email/verify", 30, None),
    ("/v1/ip", 34, None),
    ("/v1/phone/find", 5, ("phones", 1)),
    ("/v1/usage", 6, None),
)
_OUTCOMES = (("processed", 955), ("invalid", 18), ("failed", 14), ("rate_limited", 9), ("unauthenticated", 4))
_REASONS = ("bounced e-mail address", "wrong company", "goodwill", "outage of a data source")


def example_book(now: int) -> str:
    """The price book: a version since long ago, and one that is announced for in three weeks."""
    text = (Path(__file__).parent / _BOOK_NAME).read_text(encoding="utf-8")
    return text.replace(_ANNOUNCED, format_instant((now // _DAY + 21) * _DAY))


def example_commands(now: int, seed: int = 1) -> Iterator[tuple[str, dict[str, Any]]]:
    """Commands by their kinds, in the order in which the log is to have them. `now` in ms."""
    rng = random.Random(seed)  # noqa: S311 -- an example, and the same each time
    start = (now // _DAY - DAYS + 1) * _DAY
    yield "account", _settings(start)
    yield from _grants(start)
    plan, months = AccountPlan("pro", start, None), 1
    for day in range(DAYS):
        at = start + day * _DAY
        events = sorted(_events(rng, day, at, now), key=lambda event: event["occurred_at"])
        if day and period_of(at, plan)[0] == at:
            months += 1
            yield "grant", _grant(f"monthly-{months}", 17_000, at, 31, "plan pro, a month")
        for event in events:
            yield "request", event
        if day % 6 == 5 and events:
            yield "refund", _refund(rng, day, events, min(at + _DAY, now))
    yield from _holds(now)


def _settings(start: int) -> dict[str, Any]:
    plan = {"name": "pro", "started_at": start, "ends_at": None}
    marks = {"credits": 5_000, "phone": 20}
    settings = {"account_id": ACCOUNT, "plan": plan, "on_empty": "allow", "alert_below": marks}
    return settings | {"update_id": "example-settings", "at": start}


def _grants(start: int) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "grant", _grant("monthly-1", 17_000, start, 31, "plan pro, a month")
    yield "grant", _grant("welcome", 4_000, start, 90, "welcome")
    yield "grant", _grant("phone-pack", 2_500, start, None, "pack of phone credits", "phone")


def _grant(
    name: str, credits_: int, at: int, days: int | None, reason: str, credit_type: str = "credits"
) -> dict[str, Any]:
    expires_at = None if days is None else at + days * _DAY
    return {
        "grant_id": f"example-{name}", "account_id": ACCOUNT, "credit_type": credit_type, "credits": credits_,
        "granted_at": at, "expires_at": expires_at, "reason": reason,
    }  # fmt: skip


def _refund(rng: random.Random, day: int, events: list[dict[str, Any]], at: int) -> dict[str, Any]:
    charged = [event for event in events if (event["outcome"], event["endpoint"]) == ("processed", "/v1/email/verify")]
    event = rng.choice(charged or events)
    return {
        "refund_id": f"example-refund-{day}", "account_id": ACCOUNT, "event_id": event["event_id"], "charge": None,
        "credits": None, "reason": rng.choice(_REASONS), "requested_at": at,
    }  # fmt: skip


def _holds(now: int) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, (credits_, reason) in enumerate(((600, "export of the spring campaign"), (150, "nightly CRM sync"))):
        yield "hold", {
            "hold_id": f"example-hold-{number}", "account_id": ACCOUNT, "credits": {"credits": credits_},
            "held_at": now, "expires_at": now + (6 + number) * _HOUR, "reason": reason,
        }  # fmt: skip


def _events(rng: random.Random, day: int, start: int, now: int) -> Iterator[dict[str, Any]]:
    """A day's calls: fewer on the weekend, and more every week. 1970 began on a Thursday."""
    weekday = (start // _DAY + 3) % 7
    count = int(_DAILY * (0.75 + day / DAYS * 0.5) * (0.25 if weekday >= 5 else 1) * rng.uniform(0.75, 1.25))
    for number in range(count):
        hour = min(max(rng.gauss(13, 3.2), 0), 23.9)
        at = start + int(hour * _HOUR) + rng.randrange(_MINUTE)
        if at < now:
            yield _event(rng, f"ev-{day:02d}-{number:03d}", at)


def _event(rng: random.Random, event_id: str, at: int) -> dict[str, Any]:
    endpoint, _, quantity = rng.choices(_CALLS, cum_weights=list(accumulate(share for _, share, _ in _CALLS)))[0]
    actor = rng.choices(MEMBERS, cum_weights=list(accumulate(share for _, _, share in MEMBERS)))[0][0]
    outcome = rng.choices(_OUTCOMES, cum_weights=list(accumulate(share for _, share in _OUTCOMES)))[0][0]
    company, person = rng.choice(_COMPANIES), rng.choice(_PEOPLE)
    visitor = f"198.51.100.{rng.randrange(90)}"
    return {
        "event_id": event_id, "account_id": ACCOUNT, "occurred_at": at, "endpoint": endpoint, "channel": "api",
        "outcome": outcome, "request_id": f"req-{event_id[3:]}", "actor": actor, "user_id": None,
        "ip": visitor if endpoint == "/v1/ip" else None, "domain": None if endpoint == "/v1/ip" else company,
        "plan": None, "quantities": {} if quantity is None else {quantity[0]: rng.randint(0, quantity[1])},
        "attributes": _attributes(endpoint, company, person, visitor), "hold_id": None,
    }  # fmt: skip


def _attributes(endpoint: str, company: str, person: str, visitor: str) -> dict[str, str]:
    described = {
        "/v1/company": f"Profile of {company}", "/v1/people/search": f"People at {company}",
        "/v1/email/find": f"E-mail of {person}", "/v1/email/verify": f"Address at {company}",
        "/v1/ip": f"Visitor {visitor}", "/v1/phone/find": f"Phone of {person}",
    }  # fmt: skip
    return {"description": described[endpoint]} if endpoint in described else {}
