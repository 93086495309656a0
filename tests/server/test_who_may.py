"""Every role at every operation, in a table that is written down here once more: who gets in, and who 401, 403, 404."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from application.in_memory import in_memory_pipeline
from server.api.routing import Operation
from server.api.table import OPERATIONS
from tests.server.keys import (
    ANN_OF_ACME,
    MEMBER_OF_ACME,
    OPERATOR,
    OWNER_OF_ACME,
    PRODUCER,
    PRODUCER_OF_ACME,
)
from tests.server.world import ServerWorld, opened_world

ANYONE = """
GET /health/live
GET /health/ready
GET /metrics
GET /openapi.json
GET /docs
GET /docs/style.css
GET /v1/prices
"""
PRODUCERS = """
POST /v1/events
GET /v1/receipts/{receipt}
POST /v1/holds
GET /v1/holds/{hold}
DELETE /v1/holds/{hold}
"""
MEMBERS = """
POST /v1/estimates
GET /account/info
GET /v1/accounts/{account}
GET /v1/accounts/{account}/usage
POST /v1/accounts/{account}/usage/query
GET /v1/accounts/{account}/events/{event_id}
GET /v1/accounts/{account}/prices
GET /v1/accounts/{account}/rate-limits
"""
OWNERS = """
GET /v1/accounts/{account}/keys
POST /v1/accounts/{account}/keys
DELETE /v1/accounts/{account}/keys/{id}
GET /v1/accounts/{account}/members
PUT /v1/accounts/{account}/members/{actor}
DELETE /v1/accounts/{account}/members/{actor}
GET /v1/accounts/{account}/links
POST /v1/accounts/{account}/links
DELETE /v1/accounts/{account}/links/{id}
GET /v1/accounts/{account}/changes
GET /v1/accounts/{account}/webhooks
POST /v1/accounts/{account}/webhooks
GET /v1/accounts/{account}/webhooks/{id}
PUT /v1/accounts/{account}/webhooks/{id}
DELETE /v1/accounts/{account}/webhooks/{id}
GET /v1/accounts/{account}/webhooks/{id}/secret
POST /v1/accounts/{account}/webhooks/{id}/secret
POST /v1/accounts/{account}/webhooks/{id}/test
GET /v1/accounts/{account}/webhooks/{id}/deliveries
GET /v1/accounts/{account}/webhooks/{id}/deliveries/{delivery}
POST /v1/accounts/{account}/webhooks/{id}/deliveries/{delivery}
"""
OPERATORS = """
GET /v1/usage
POST /v1/usage/query
GET /v1/changes
GET /v1/webhooks
POST /v1/webhooks
GET /v1/webhooks/{id}
PUT /v1/webhooks/{id}
DELETE /v1/webhooks/{id}
GET /v1/webhooks/{id}/secret
POST /v1/webhooks/{id}/secret
POST /v1/webhooks/{id}/test
GET /v1/webhooks/{id}/deliveries
GET /v1/webhooks/{id}/deliveries/{delivery}
POST /v1/webhooks/{id}/deliveries/{delivery}
GET /v1/status
GET /v1/accounts
POST /v1/grants
POST /v1/refunds
PUT /v1/accounts/{account}/settings
GET /v1/dead-letters
POST /v1/dead-letters/{place}/replay
"""
WHO = {
    ANYONE: {None, OPERATOR, OWNER_OF_ACME, MEMBER_OF_ACME, ANN_OF_ACME, PRODUCER, PRODUCER_OF_ACME},
    PRODUCERS: {OPERATOR, PRODUCER, PRODUCER_OF_ACME},
    MEMBERS: {OPERATOR, OWNER_OF_ACME, MEMBER_OF_ACME, ANN_OF_ACME},
    OWNERS: {OPERATOR, OWNER_OF_ACME},
    OPERATORS: {OPERATOR},
}
OF_ALL_ACCOUNTS = {OPERATOR, PRODUCER}
BY_OPERATION = {line: who for lines, who in WHO.items() for line in lines.split("\n") if line}
IDS = {"{receipt}": "r", "{hold}": "h-1", "{id}": "x-1", "{actor}": "ann", "{delivery}": "d-1", "{event_id}": "e-1"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerWorld]:
    with opened_world(in_memory_pipeline(tmp_path_factory.mktemp("roles"))) as opened:
        yield opened


def target_of(operation: Operation, account: str) -> str:
    target = operation.path.replace("{account}", account).replace("{place}", "credits.requests%5B0%5D@0")
    for name, value in IDS.items():
        target = target.replace(name, value)
    return target


def test_every_operation_stands_in_the_table() -> None:
    assert {f"{one.method} {one.path}" for one in OPERATIONS} == BY_OPERATION.keys()


@pytest.mark.parametrize("operation", OPERATIONS, ids=[f"{one.method} {one.path}" for one in OPERATIONS])
def test_who_gets_in(world: ServerWorld, operation: Operation) -> None:
    """Who is let in gets what the operation says of a request without a body; it is no refusal of the key."""
    allowed = BY_OPERATION[f"{operation.method} {operation.path}"]
    accounts = ("acme", "zenith", "self") if "{account}" in operation.path else ("acme",)
    for key in WHO[ANYONE]:
        for account in accounts:
            answer = world.ask(operation.method, target_of(operation, account), key=key)
            case = (key, account, answer.status, answer.body)
            if key is None and None not in allowed:
                assert answer.status == 401, case
            elif account == "zenith" and key not in OF_ALL_ACCOUNTS:
                assert (answer.status, answer.json["detail"][:24]) == (404, "there is no such account"), case
            elif account == "self" and key in OF_ALL_ACCOUNTS:
                assert answer.status == 404, case
            elif key not in allowed:
                assert answer.status == 403, case
            else:
                assert answer.status not in {401, 403}, case
                assert b"there is no such account" not in answer.body, case
