"""The pages of one server with a real port, over a pipeline in memory and chDB: the example account and odd ones."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import uvicorn

from application.access.access import Access, opened_access
from application.access.authors import local_author
from application.access.identity import Role
from application.access.links import LinkOrder, create_link
from application.access.members import put_member
from application.access.secret_keys import SecretKeys
from application.configuration.page_actions import row_actions
from application.in_memory import in_memory_pipeline
from application.prices.publishing import publish_book
from application.usage.store import SinkUsage
from cli.demo.example_account import ACCOUNT, MEMBERS, example_book, example_commands
from metering.records import MAX_ID
from server.api.reads import opened_reads
from server.connections import guarded
from server.parts import PublicFace
from sinks.embedded import EmbeddedSink
from streams import clock
from tests.application.usage.conftest import PATIENT
from tests.server.api.reading_world import wait_for_book
from tests.server.world import ServerWorld, opened_world
from tests.stores import with_schema

OPERATOR = local_author("ops", "host")
FACE = PublicFace(
    company="Northstar API",
    row_actions=row_actions("Open in CRM = https://crm.example.com/find?q={domain}&r={request_id}"),
)
NAMES = {Role.OWNER: "Dana Price", Role.MEMBER: "Anna Berg", Role.OPERATOR: "Support"}
SECRETS = SecretKeys([b"a secret of thirty-two characters"])
ODD = "<b>o'dd</b>"
"""An account whose ids hold markup, formulas and characters that act on screens."""
ODD_IDS = (
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "=HYPERLINK(1)", "\u202egnirts", "a\u2066b\u200f",
    "tab\there", "x" * 128, "{{ 7 * 7 }}", "~self", "a/b?c#d&e=f", "'; DROP TABLE billed_rows; --",
)  # fmt: skip


@dataclass
class PagesWorld:
    """`base`: the server's URL. `now` (ms): when the example account was made."""

    server: ServerWorld
    access: Access
    sink: EmbeddedSink
    base: str
    now: int

    def link(self, role: Role = Role.OWNER, account: str | None = ACCOUNT, actor: str | None = None) -> str:
        """A fresh sign-in link."""
        made = create_link(self.access, OPERATOR, LinkOrder(role, account, actor, NAMES[role]))
        return f"{self.base}/sign-in/{made.token}"


@contextmanager
def opened_pages(folder: Path) -> Iterator[PagesWorld]:
    """The server for the time of the block."""
    now = clock.now_ms()
    with ExitStack() as stack:
        sink = stack.enter_context(_sink(folder))
        pipeline = in_memory_pipeline(folder, partitions=4, sink=sink)
        publish_book(pipeline, example_book(now), now)
        with pipeline.connections.command_sender("pages") as sender:
            for kind, record in (*example_commands(now), *odd_commands(now)):
                sender.send_command(kind, record)
        access = stack.enter_context(opened_access(pipeline, SECRETS))
        access.follow()
        for actor, name, _ in MEMBERS:
            put_member(access, OPERATOR, ACCOUNT, actor, name, f"{actor}@acme.example")
        reads = stack.enter_context(opened_reads(pipeline, SinkUsage(sink, PATIENT), SECRETS, status=shown_status))
        wait_for_book(reads)
        server = stack.enter_context(opened_world(pipeline, FACE, reads=reads))
        server.parts.access = access
        yield PagesWorld(server, access, sink, stack.enter_context(_listening(server)), now)


def odd_commands(now: int) -> Iterator[tuple[str, dict[str, object]]]:
    """Events whose every text is an odd one."""
    yield "grant", {
        "grant_id": ODD_IDS[0], "account_id": ODD, "credit_type": "credits", "credits": 1_000,
        "granted_at": now - 9_000, "expires_at": None, "reason": ODD_IDS[1],
    }  # fmt: skip
    yield "request", {
        "event_id": "tomorrow", "account_id": ODD, "occurred_at": now + 86_400_000, "endpoint": "/v1/company",
        "channel": "api", "outcome": "processed", "attributes": {"note": ODD_IDS[0]},
    }  # fmt: skip
    for number, text in enumerate(ODD_IDS):
        yield "request", {
            "event_id": text, "account_id": ODD, "occurred_at": now - 8_000 + number, "endpoint": "/v1/company",
            "channel": "api", "outcome": "processed", "request_id": text, "actor": text, "user_id": text[:128],
            "ip": None, "domain": f"d{number}.example", "plan": None, "quantities": {}, "hold_id": None,
            "attributes": {"description": _longest(text), "note": _longest(text)},
        }  # fmt: skip
        yield "refund", {
            "refund_id": text, "account_id": ODD, "event_id": text, "charge": None, "credits": 1,
            "reason": _longest(text), "requested_at": now - 7_000 + number,
        }  # fmt: skip


def _longest(text: str) -> str:
    """As long as an attribute and a reason may be, where the id is as long as an id may be."""
    return "x" * 1_024 if len(text) == MAX_ID else text


def shown_status() -> dict[str, object]:
    """What `creditmeter status --json` shows; the real one asks processes that a pipeline in memory has not."""
    group = {"processes": 1, "behind": 1_234, "began": True}
    part = {
        "partition": 0, "first": 0, "end": 5_000, "to_rate": 1_234, "waiting_since": clock.now_ms() - 4_000,
        "to_load": 20, "held_back": 0, "held_since": None,
    }  # fmt: skip
    store = {"what": "ClickHouse", "url": "http://127.0.0.1:8127", "well": True, "detail": "answers"}
    return {
        "bootstrap": "127.0.0.1:9092", "topic_prefix": "credits", "topics": {"credits.requests": 5_000},
        "input": [part], "rating": {"group": "credits.rating", **group},
        "loading": {"group": "credits.loading", **group}, "delivering": {"group": "credits.delivering", **group},
        "books": None, "endpoints": [store],
        "checkpoints": [{"partition": 0, "applied": 4_000, "made_at": clock.now_ms(), "bytes": 81_920}],
        "loaded": [], "problems": ["worker 2 does not answer"],
    }  # fmt: skip


@contextmanager
def _sink(folder: Path) -> Iterator[EmbeddedSink]:
    sink = EmbeddedSink(with_schema(folder / "data"))
    try:
        yield sink
    finally:
        sink.close()


@contextmanager
def _listening(server: ServerWorld) -> Iterator[str]:
    """The app on a port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(
            server.app, http=guarded(replace(server.parts.bounds)), loop="none", ws="none", lifespan="off",
            log_config=None, access_log=False, server_header=False, proxy_headers=False,
        )  # fmt: skip
        running = uvicorn.Server(config)
        future = asyncio.run_coroutine_threadsafe(running.serve(sockets=[listener]), server.loop)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            running.should_exit = True
            future.result(30)
