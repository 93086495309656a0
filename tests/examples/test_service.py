"""The example service, from its first call to the bill: with the meter in memory, and with the real server."""

import importlib
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from creditmeter_client import HttpTransport, Meter, MeterSettings
from creditmeter_client.testing import MemoryTransport, Price

from tests.client.middleware.apps import Answer, call_asgi, scope_of
from tests.client.real_server import served
from tests.server.keys import PRODUCER

pytestmark = pytest.mark.slow

SERVICE = Path(__file__).parents[2] / "examples" / "service"
PRICES = {
    "/v1/ip": Price(20, charge="ip-lookup", unique=("ip",)),
    "/v1/domain": Price(10, per="results", charge="domain-enrichment", unique=("domain",)),
    "/v1/people": Price(1, per="results", charge="people-search"),
}


@pytest.fixture
def make_app(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(SERVICE))
    yield importlib.import_module("app").make_app
    for name in ("app", "data", "webhook"):
        sys.modules.pop(name, None)


def ask(app: Any, target: str, body: bytes | None = None, **headers: str) -> Answer:
    import asyncio

    path, _, query = target.partition("?")
    named = {"x-api-key": "key-of-acme", "credit-usage": "true", "content-type": "application/json"}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    scope = scope_of(path, "GET" if body is None else "POST", named)
    scope["query_string"] = query.encode()
    return asyncio.run(call_asgi(app, scope, body or b""))


def a_day_of_calls(app: Any) -> list[tuple[int, Any]]:
    """Status and credit usage of each call; None where there is none."""
    import json

    bulk = json.dumps({"domains": ["example.com", "example.org", "nowhere.test", "example.org"]}).encode()
    answers = [
        ask(app, "/v1/ip?address=203.0.113.7"),
        ask(app, "/v1/ip?address=203.0.113.7"),  # the same address on the same day
        ask(app, "/v1/ip?address=192.0.2.1"),  # the provider is down
        ask(app, "/v1/ip?address=203.0.113.7", credit_usage="no"),
        ask(app, "/v1/domain?name=nowhere.test"),
        ask(app, "/v1/domain?name=example.com"),
        ask(app, "/v1/people?page=2"),
        ask(app, "/v1/people"),
        ask(app, "/v1/people?page=99"),
        ask(app, "/v1/bulk/domains", bulk),
        ask(app, "/v1/domain"),  # no name
        ask(app, "/v1/people", x_api_key="nobody's"),
        ask(app, "/health"),
    ]
    return [(answer.status, json.loads(answer.body).get("credit_usage")) for answer in answers]


def usage(results: int, credits_: int) -> dict[str, int]:
    return {"total_results": results, "total_credits": credits_}


DAY = [
    (200, usage(1, 20)), (200, usage(0, 0)), (503, None), (200, None), (200, usage(0, 0)), (200, usage(1, 10)),
    (200, usage(25, 25)), (200, usage(25, 25)), (200, usage(0, 0)), (200, usage(1, 10)), (422, None), (401, None),
    (200, None),
]  # fmt: skip
TOTAL = 90


def test_with_the_meter_in_memory(make_app: Any) -> None:
    transport = MemoryTransport(PRICES, {"acme": {"credit": 200}})
    with Meter(transport, settings=MeterSettings(linger=0.0)) as meter:
        assert a_day_of_calls(make_app(meter, wait=30.0, admission_wait=30.0)) == DAY
    assert transport.charged("acme") == TOTAL
    assert transport.balance("acme") == 200 - TOTAL
    assert transport.open_holds() == []


def test_a_search_that_could_cost_more_than_there_is_is_refused(make_app: Any) -> None:
    transport = MemoryTransport(PRICES, {"acme": {"credit": 99}})
    with Meter(transport) as meter:
        answer = ask(make_app(meter, admission_wait=30.0), "/v1/people")
    assert answer.status == 402
    assert transport.balance("acme") == 99


def test_with_the_real_server_every_call_is_told_what_the_ledger_says(make_app: Any, tmp_path: Path) -> None:
    """Over HTTP to `creditmeter serve`'s own app, the stream's own rating loop and the example's price book."""
    with served(tmp_path, (SERVICE / "prices.yaml").read_text()) as server:
        server.grant("acme", 200)
        with Meter(HttpTransport(server.url, PRODUCER)) as meter:
            assert a_day_of_calls(make_app(meter, wait=30.0, admission_wait=30.0)) == DAY
            assert meter.flush(60)
            last = meter.decide(account_id="acme", endpoint="/v1/ip", ip="198.51.100.20", wait=30.0)
    assert [line.balance_after for line in last.lines] == [200 - TOTAL - 20]


class Receiver(BaseHTTPRequestHandler):
    """Fails at first, then takes what it is sent."""

    statuses: ClassVar[list[int]] = [503, 200]
    taken: ClassVar[list[Any]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        status = self.statuses.pop(0)
        self.send_response(status)
        self.end_headers()
        if status == 200:
            self.taken.append(body)

    def log_message(self, *_: Any) -> None: ...


def test_a_bulk_result_goes_to_the_webhook_that_the_request_names(make_app: Any, monkeypatch: Any) -> None:
    """Charged when the request is answered, with the credits in its answer; tried again until it is taken."""
    monkeypatch.setattr(sys.modules["webhook"], "PAUSES", (0.0,))
    transport = MemoryTransport(PRICES, {"acme": {"credit": 200}})
    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as receiver, Meter(transport) as meter:
        threading.Thread(target=receiver.serve_forever, args=(0.01,), daemon=True).start()
        app = make_app(meter, wait=30.0)
        url = f"http://127.0.0.1:{receiver.server_port}/done"
        body = {"domains": ["example.com", "nowhere.test"], "settings": {"webhook": url}}
        answer = ask(app, "/v1/bulk/domains", json.dumps(body).encode())
        refused = ask(app, "/v1/bulk/domains", json.dumps(body | {"settings": {"webhook": "http://10.0.0.1"}}).encode())
        receiver.shutdown()
    assert (answer.status, refused.status) == (202, 422)
    accepted = json.loads(answer.body)
    assert accepted["credit_usage"] == {"total_results": 1, "total_credits": 10}
    companies = {"example.com": {"name": "Example Ltd", "employees": 120}, "nowhere.test": None}
    assert Receiver.taken == [{"job": accepted["job"], "companies": companies}]
    assert transport.charged("acme") == 10


def test_its_readme_shows_what_happens(make_app: Any, tmp_path: Path) -> None:
    """The calls of examples/service/README.md in their order, against the real server."""
    import json
    import re

    shown = (SERVICE / "README.md").read_text()
    targets = re.findall(r"curl -si? '?localhost:8000(/v1/[^' ]+)'?", shown)
    (domains,) = re.findall(r"-d '(.*)'", shown)
    with served(tmp_path, (SERVICE / "prices.yaml").read_text()) as server:
        server.grant("acme", 200)
        with Meter(HttpTransport(server.url, PRODUCER)) as meter:
            app = make_app(meter, wait=30.0, admission_wait=30.0)
            answers = [
                ask(app, target, domains.encode() if "bulk" in target else None, credit_usage_detail="true")
                for target in targets
            ]
    assert [answer.status for answer in answers] == [200, 200, 200, 503, 200, 200, 402]
    usages = [json.loads(answer.body).get("credit_usage", {}) for answer in answers]
    assert [one.get("total_credits") for one in usages] == [20, 0, 5, None, 20, 60, None]
    assert usages[2]["remaining"] == {"credit": 175}
    assert json.loads(answers[-1].body)["required"] == {"credit": 100}
