"""Every statement of docs/sql.md, on a small history whose answers were worked out by hand."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from sinks.embedded import EmbeddedSink
from streams.clock import now_ms
from tests.metering.meter import DAY, HOUR, NOON, account, book, charge, grant, hold, refund, request
from tests.sinks.conftest import empty
from tests.sinks.outputs import Log, load

pytestmark = pytest.mark.slow

DOCUMENT = Path(__file__).parents[2] / "docs" / "sql.md"
FIRST, SECOND = date(2026, 1, 10), date(2026, 1, 11)
LOOKUP, CONTACT, NEWS = "/v1/ip-lookup", "/v1/contact", "/v1/news"

BOOK = book(
    charge(
        "ip-lookup", feature="Identification", action="IP lookup", when={"endpoint": LOOKUP}, unique=(["ip"], "24h")
    ),
    charge("contact", 50, feature="Enrichment", action="Contact", when={"endpoint": CONTACT}),
    charge(
        "mail", 2, feature="Enrichment", action="E-mail", credit_type="email", when={"endpoint": CONTACT}, per="emails"
    ),
)


def history() -> Log:
    log = Log(BOOK)
    log.message(("account", account("u1", NOON, alert_below={"credit": 900})))
    log.message(("grant", grant("g1", 1000, NOON)))
    log.message(("grant", grant("g2", 100, NOON, credit_type="email")))
    log.message(("grant", grant("g3", 100, NOON, account_id="zenith", expires_at=NOON + 3 * DAY)))
    log.message(
        ("request", request("e1", NOON + 1, endpoint=LOOKUP, ip="10.0.0.1", actor="ann")),  # 20
        ("request", request("e2", NOON + 2, endpoint=LOOKUP, ip="10.0.0.1", actor="ann")),  # duplicate
        ("request", request("e3", NOON + 3, endpoint=LOOKUP, ip="10.0.0.2", actor="bob")),  # 20
        ("request", request("e4", NOON + 4, endpoint=CONTACT, actor="bob", quantities={"emails": 2})),  # 50 and 4 email
        ("request", request("e5", NOON + 5, endpoint=CONTACT, actor="ann")),  # 50 and nothing found
        ("request", request("e6", NOON + 6, endpoint=LOOKUP, ip="10.0.0.3", actor="ann", outcome="failed")),
        ("request", request("e7", NOON + 7, endpoint=NEWS)),  # unpriced
        ("request", request("e8", NOON + 8, endpoint="")),  # dead letter
    )
    later = NOON + DAY + HOUR
    log.message(
        ("request", request("e9", later, endpoint=LOOKUP, ip="10.0.0.1", actor="ann")),  # 20 again: the day is over
        ("request", request("e10", later + 1, endpoint=LOOKUP, ip="10.0.0.1", actor="bob")),  # duplicate
    )
    log.message(("request", request("z1", later + 2, account_id="zenith", endpoint=LOOKUP, ip="10.0.0.9")))  # 20
    log.message(("refund", refund("r1", "e3", later + 3)))  # 20
    log.message(("refund", refund("r2", "e4", later + 4, charge="contact", credits=10)))
    log.message(("refund", refund("r3", "e77", later + 5)))  # unknown
    return log


def holds_of_today() -> Log:
    """Holds end by the clock, so that these are of today: two stay open, one is settled, one is rejected."""
    log = Log(BOOK)
    now = now_ms()
    commands = [
        ("account", account("u1", now, on_empty="reject")),
        ("grant", grant("g1", 300, now)),
        ("hold", hold("h1", 100, now, expires_at=now + 2 * DAY)),
        ("hold", hold("h2", 50, now, expires_at=now + DAY, reason="export")),
        ("hold", hold("h3", 60, now, expires_at=now + DAY)),
        ("hold", hold("h4", 500, now)),
        ("request", request("d1", now, endpoint=CONTACT, hold_id="h1", keeps_hold=True)),  # 50
        ("request", request("d2", now, endpoint=CONTACT, hold_id="h3")),  # 50
    ]
    for command in commands:
        log.message(command, recorded_at=now)
    return log


ANSWERS: dict[str, list[tuple[Any, ...]]] = {
    "Credits by day": [(FIRST, "credit", 140), (FIRST, "email", 4), (SECOND, "credit", 40)],
    "Credits by endpoint": [(CONTACT, "credit", 100, 2), (LOOKUP, "credit", 80, 4), (CONTACT, "email", 4, 1)],
    "Credits by feature": [("Enrichment", "credit", 100), ("Identification", "credit", 80), ("Enrichment", "email", 4)],
    "Credits by action": [
        ("Enrichment", "Contact", "credit", 100, 2),
        ("Identification", "IP lookup", "credit", 80, 4),
        ("Enrichment", "E-mail", "email", 4, 1),
    ],
    "Credits by actor": [("acme", "ann", 90, 4), ("acme", "bob", 70, 3), ("zenith", None, 20, 1)],
    "One account's statement": [
        (FIRST, CONTACT, "Contact", "credit", 2, 2, 0, 100),
        (FIRST, CONTACT, "E-mail", "email", 2, 1, 0, 4),
        (FIRST, LOOKUP, "IP lookup", "credit", 3, 2, 1, 40),
        (FIRST, LOOKUP, None, None, 1, 0, 0, 0),
        (FIRST, NEWS, None, None, 1, 0, 0, 0),
        (SECOND, LOOKUP, "IP lookup", "credit", 2, 1, 1, 20),
    ],
    "Why was I charged?": [
        (0, "contact", "charged", 1, 50, 50, "v1", None, 910),
        (1, "mail", "charged", 2, 2, 4, "v1", None, 96),
    ],
    "Success and failure rates by endpoint": [
        (LOOKUP, 7, 6, 1, 0.857, 0.143),
        (CONTACT, 2, 2, 0, 1.0, 0.0),
        (NEWS, 1, 1, 0, 1.0, 0.0),
    ],
    "Decisions": [
        ("charged", 7, 184),
        ("duplicate", 2, 0),
        ("not_billable", 1, 0),
        ("nothing_found", 1, 0),
        ("unpriced", 1, 0),
    ],
    "Dead letters": [(date(2026, 11, 6), "invalid_event", "endpoint", 1)],
    "Remaining by credit type": [("acme", "credit", 870, 0), ("acme", "email", 96, 0), ("zenith", "credit", 0, 80)],
    "Granted and forfeited": [("acme", "credit", 1000, 0), ("acme", "email", 100, 0), ("zenith", "credit", 100, 0)],
    "Balances that ran low": [("acme", "credit", "below", 860)],
    "Free repeats saved by uniqueness": [("ip-lookup", "credit", 2, 40)],
    "Top subjects": [
        ("10.0.0.1", 4, 2, 40),
        ("10.0.0.2", 1, 0, 20),
        ("10.0.0.3", 1, 0, 0),
        ("10.0.0.9", 1, 0, 20),
    ],
    "Refunds beside charges": [
        ("contact", "credit", 100, 10),
        ("ip-lookup", "credit", 80, 20),
        ("mail", "email", 4, 0),
    ],
    "Net credits": [
        ("acme", "credit", 160, 30, 130, 0),
        ("acme", "email", 4, 0, 4, 0),
        ("zenith", "credit", 20, 0, 20, 0),
    ],
    "Refunds by actor": [
        ("acme", "bob", "Identification", "IP lookup", 20),
        ("acme", "bob", "Enrichment", "Contact", 10),
    ],
    "Why refunds were rejected": [("unknown_charge", 1)],
}
OF_HOLDS: dict[str, list[tuple[Any, ...]]] = {
    "Held and available": [("acme", "credit", 200, 100, 100)],
    "Open holds": [("acme", "h2", 50, 0, 50, "export"), ("acme", "h1", 100, 50, 50, "bulk")],
    "What became of holds": [
        ("acme", "drawn", 1, 100, 50),
        ("acme", "held", 1, 50, 0),
        ("acme", "rejected", 1, 500, 0),
        ("acme", "settled", 1, 60, 50),
    ],
    "Charges under a hold": [("h1", 2, 50), ("h3", 2, 50)],
    "Accounts' settings": [("acme", None, "reject", {})],
}
"""Those that are asked of `holds_of_today`."""


def statements() -> list[tuple[str, str]]:
    """(heading, statement) of every SQL block, by the heading above it."""
    statements_found: list[tuple[str, str]] = []
    for section in re.split(r"^### ", DOCUMENT.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        heading = section.splitlines()[0]
        blocks = re.findall(r"^```sql\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
        statements_found += [(heading, sql) for sql in blocks]
    return statements_found


@pytest.fixture(scope="module")
def loaded(embedded_of_module: EmbeddedSink) -> EmbeddedSink:
    empty(embedded_of_module)
    batches = history().batches
    load(embedded_of_module, batches)
    load(embedded_of_module, batches)  # once more: it must change nothing
    return embedded_of_module


def test_every_statement_has_an_answer_here() -> None:
    headings = [heading for heading, _ in statements()]
    assert [heading for heading in headings if heading not in OF_HOLDS] == list(ANSWERS)
    assert [heading for heading in headings if heading not in ANSWERS] == list(OF_HOLDS)
    assert DOCUMENT.read_text(encoding="utf-8").count("```sql\n") == len(headings)


@pytest.mark.parametrize(("heading", "sql"), [statement for statement in statements() if statement[0] in ANSWERS])
def test_a_statement_gives_the_answer_worked_out_by_hand(loaded: EmbeddedSink, heading: str, sql: str) -> None:
    assert loaded.query(sql).rows == ANSWERS[heading]


def test_the_statements_about_holds_give_the_answers_worked_out_by_hand(embedded: EmbeddedSink) -> None:
    batches = holds_of_today().batches
    load(embedded, batches)
    load(embedded, batches)
    answers = {heading: embedded.query(sql).rows for heading, sql in statements() if heading in OF_HOLDS}
    assert answers == OF_HOLDS
