"""Credits asked for before the work: by a hold, or by charging first."""

import asyncio
import json
from typing import Any

import pytest
from creditmeter_client.middleware import Admission, RoutePolicy, WhenAway

from tests.client.middleware.apps import Answer, Served, answering, call_asgi, get, get_wsgi, scope_of, wsgi_answering

HOLD = RoutePolicy(Admission.HOLD, expected=lambda call: call.usage("acme", "/v1/people", quantities={"results": 10}))
CHARGE = RoutePolicy(Admission.CHARGE, expected=HOLD.expected)
OBJECT = b'{"a": 1}'


class Work:
    """Counts how often the endpoint was reached."""

    def __init__(self, status: int = 200, raises: bool = False) -> None:
        self.calls = 0
        self.status = status
        self.raises = raises

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.calls += 1
        await asyncio.sleep(0)
        if self.raises:
            raise ZeroDivisionError
        await answering(OBJECT, status=self.status)(scope, receive, send)


def served_with(work: Any, policy: RoutePolicy, balance: int, **more: Any) -> Served:
    return Served(work, balances={"acme": {"credit": balance}}, routes={"/v1/*": policy}, **more)


def test_a_hold_is_drawn_with_what_was_found_and_the_rest_is_free_again() -> None:
    work = Work()
    served = served_with(work, HOLD, 20)
    answer = get(served.asgi, credit_usage="true")
    assert json.loads(answer.body)["credit_usage"]["total_credits"] == 6
    served.close()
    assert served.transport.balance("acme") == 14
    assert served.transport.open_holds() == []


def test_too_few_credits_are_402_without_reaching_the_endpoint() -> None:
    work = Work()
    served = served_with(work, HOLD, 19)
    answer = get(served.asgi)
    assert (answer.status, work.calls) == (402, 0)
    assert answer.header("content-type") == ["application/problem+json"]
    problem = json.loads(answer.body)
    assert (problem["status"], problem["required"], problem["available"]) == (402, {"credit": 20}, {"credit": 19})
    served.close()
    assert [event.fields["outcome"] for event in served.transport.events] == ["blocked"]


@pytest.mark.parametrize("work", [Work(status=500), Work(status=404), Work(raises=True)])
def test_a_failed_request_costs_nothing_and_releases_its_hold(work: Work) -> None:
    served = served_with(work, HOLD, 20)
    try:
        get(served.asgi)
    except ZeroDivisionError:
        assert work.raises
    served.close()
    assert served.transport.balance("acme") == 20
    assert served.transport.open_holds() == []


def test_a_call_that_costs_nothing_in_the_end_releases_its_hold() -> None:
    served = served_with(Work(), HOLD, 20, describe=lambda call: None)
    get(served.asgi)
    served.close()
    assert served.transport.open_holds() == []


@pytest.mark.parametrize("policy", [HOLD, CHARGE])
def test_with_credits_for_n_calls_and_4n_at_once_n_are_served(policy: RoutePolicy) -> None:
    work = Work()
    served = served_with(
        work, policy, 20 * 5, describe=lambda call: call.usage("acme", "/v1/people", quantities={"results": 10})
    )

    async def run() -> list[Answer]:
        return await asyncio.gather(*(call_asgi(served.asgi, scope_of()) for _ in range(20)))

    statuses = sorted(answer.status for answer in asyncio.run(run()))
    assert statuses == [200] * 5 + [402] * 15
    assert work.calls == 5
    served.close()
    assert served.transport.balance("acme") == 0
    assert served.transport.open_holds() == []


def test_charging_first_takes_one_event_and_tells_what_it_cost() -> None:
    served = served_with(Work(), CHARGE, 20)
    answer = get(served.asgi, "/v1/people", credit_usage="true")
    assert json.loads(answer.body)["credit_usage"] == {"total_results": 10, "total_credits": 20}
    served.close()
    assert len(served.transport.log) == 1


@pytest.mark.parametrize("work", [Work(status=500), Work(status=400), Work(raises=True)])
def test_charging_first_is_refunded_if_the_work_fails(work: Work) -> None:
    served = served_with(work, CHARGE, 20)
    try:
        get(served.asgi, "/v1/people")
    except ZeroDivisionError:
        assert work.raises
    served.close()
    assert served.transport.balance("acme") == 20
    assert len(served.transport.log) == 2


@pytest.mark.parametrize("policy", [HOLD, CHARGE])
def test_with_the_meter_away_an_open_route_lets_in_counts_and_sends_later(
    policy: RoutePolicy, caplog: pytest.LogCaptureFixture
) -> None:
    work = Work()
    served = served_with(work, policy, 20)
    served.transport.available = False
    assert [get(served.asgi).status for _ in range(3)] == [200] * 3
    assert work.calls == 3
    assert served.meter.counts().let_in_unasked == 3
    assert sum("the meter is away" in record.message for record in caplog.records) == 1
    served.transport.available = True
    served.close()
    assert len(served.transport.events) == 3


@pytest.mark.parametrize("policy", [HOLD, CHARGE])
def test_with_the_meter_away_a_closed_route_turns_away_and_charges_nothing(policy: RoutePolicy) -> None:
    work = Work()
    closed = RoutePolicy(policy.admission, WhenAway.CLOSED, policy.expected)
    served = served_with(work, closed, 20)
    served.transport.available = False
    answer = get(served.asgi)
    assert (answer.status, work.calls) == (503, 0)
    assert answer.header("retry-after") == ["5"]
    assert served.meter.counts().turned_away == 1
    served.transport.available = True
    served.close()
    assert served.transport.balance("acme") == 20


def test_a_hold_that_is_not_decided_in_time_counts_as_away() -> None:
    work = Work()
    served = served_with(work, RoutePolicy(Admission.HOLD, WhenAway.CLOSED, HOLD.expected), 20)
    served.transport.decides = False
    assert get(served.asgi).status == 503
    served.transport.decides = True
    served.close()
    assert work.calls == 0


def test_the_longest_prefix_says_how_a_route_is_admitted() -> None:
    served = Served(
        Work(),
        balances={"acme": {"credit": 0}},
        routes={"/v1/*": HOLD, "/v1/free*": RoutePolicy(), "/v1/free/but-not-this": HOLD},
    )
    statuses = [
        get(served.asgi, path).status for path in ("/v1/people", "/v1/free", "/v1/free/but-not-this", "/health")
    ]
    assert statuses == [402, 200, 402, 200]
    served.close()


def test_a_hold_outlasts_the_request_and_the_time_that_its_event_may_wait(tmp_path: Any) -> None:
    from creditmeter_client import Meter, MeterSettings
    from creditmeter_client.middleware import MiddlewareSettings
    from creditmeter_client.middleware.session import Shared
    from creditmeter_client.testing import MemoryTransport

    settings = MiddlewareSettings(lambda call: None, request_deadline=30.0)
    meter = Meter(MemoryTransport(), settings=MeterSettings(spool=tmp_path / "spool", spool_age_ms=7_200_000))
    assert Shared(meter, settings).hold_seconds == 7_230.0
    meter.close()


def test_wsgi_admits_in_the_same_way() -> None:
    served = Served(wsgi_answering(OBJECT), balances={"acme": {"credit": 20}}, routes={"/v1/*": HOLD})
    assert [get_wsgi(served.wsgi).status] == [200]
    assert served.meter.flush(20)
    answer = get_wsgi(served.wsgi)
    assert answer.status == 402
    assert json.loads(answer.body)["available"] == {"credit": 14}
    served.close()
