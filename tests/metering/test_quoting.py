"""What an event can cost at most: as deciding prices it, with nothing bought before."""

from typing import Any

import pytest

from metering.quoting import most_cost
from metering.validation import check_event
from schemas.price_book import read_book

BOOK = read_book("""\
price_lock: plan_period
versions:
  - version: "1"
    effective_from: 2026-01-01T00:00:00Z
    charges:
      - {charge: call, when: {endpoint: /v1/find}, credits: 5, plans: {pro: 3}}
      - {charge: email, when: {endpoint: /v1/find}, per: emails, credits: 2, credit_type: email}
      - {charge: ip, when: {endpoint: /v1/ip*}, credits: 20, unique: {by: [ip], within: 24h}}
  - version: "2"
    effective_from: 2026-02-01T00:00:00Z
    charges:
      - {charge: call, when: {endpoint: /v1/find}, credits: 7}
""")
JANUARY, FEBRUARY = 1_767_225_600_000, 1_769_904_000_000


def event(endpoint: str = "/v1/find", **fields: Any) -> dict[str, Any]:
    record = {
        "event_id": "e", "account_id": "a", "occurred_at": JANUARY, "endpoint": endpoint, "channel": "api",
        "outcome": "processed", **fields,
    }  # fmt: skip
    assert check_event(record) is None
    return record


@pytest.mark.parametrize(
    ("asked", "plan", "cost"),
    [
        (event(quantities={"emails": 4}), None, {"credit": 5, "email": 8}),
        (event(), None, {"credit": 5}),
        (event(), ["pro", JANUARY, None], {"credit": 3}),
        (event(), ["pro", JANUARY - 2, JANUARY - 1], {"credit": 5}),
        (event(plan="pro"), None, {"credit": 3}),
        (event(occurred_at=FEBRUARY), None, {"credit": 7}),
        (event(occurred_at=FEBRUARY), ["pro", JANUARY, None], {"credit": 3}),
        (event(occurred_at=JANUARY - 1), None, {}),
        (event("/v1/ip"), None, {}),
        (event("/v1/ip", ip="203.0.113.7"), None, {"credit": 20}),
        (event("/v1/other"), None, {}),
        (event(outcome="failed"), None, {}),
    ],
)
def test_the_most_that_an_event_can_cost(asked: dict[str, Any], plan: list[Any] | None, cost: dict[str, int]) -> None:
    assert most_cost(BOOK, asked, plan) == cost
