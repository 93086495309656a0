"""What a caller is told, and that it is what the ledger says."""

import asyncio
import json
import os
import random
from typing import Any

from creditmeter_client.middleware import Call, current_call
from creditmeter_client.middleware.breaker import Breaker, BreakerPolicy
from creditmeter_client.middleware.totals import credit_usage
from creditmeter_client.results import Decision, DecisionStatus, Line

from tests.client.middleware.apps import Served, answering, call_asgi, get, scope_of
from tests.client.scripted import event

CALLS = int(os.environ.get("CREDITMETER_TEST_CALLS", "1000"))


def told(body: bytes) -> Any:
    return json.loads(body)["credit_usage"]


def test_detail_is_added_where_it_is_asked_for_beside() -> None:
    served = Served(answering(b"{}"), balances={"acme": {"credit": 100}})
    usage = told(get(served.asgi, credit_usage="TRUE", credit_usage_detail="True").body)
    (recorded,) = served.transport.events
    assert usage == {
        "total_results": 3,
        "total_credits": 6,
        "status": "decided",
        "by_credit_type": {"credit": 6},
        "event_ids": [recorded.event_id],
        "remaining": {"credit": 94},
    }
    assert get(served.asgi, credit_usage_detail="true").body == b"{}"
    served.close()


def test_results_are_counted_once_for_an_event_with_several_charges() -> None:
    lines = (Line("charged", credit_type="email", credits=3, units=3), Line("charged", credit_type="mobile", credits=9))
    decision = Decision("a", DecisionStatus.DECIDED, lines)
    assert credit_usage([event("a", quantities={"results": 3})], [decision]) == {
        "total_results": 3, "total_credits": 12,
    }  # fmt: skip


def test_without_a_quantity_of_results_units_count_and_free_lines_do_not() -> None:
    lines = (Line("charged", units=2, credits=4), Line("duplicate", units=7), Line("free", units=1))
    decision = Decision("a", DecisionStatus.DECIDED, lines)
    assert credit_usage([event("a")], [decision])["total_results"] == 2


def test_undecided_in_time_is_null_and_never_a_guess() -> None:
    served = Served(answering(b"{}"))
    served.transport.decides = False
    answer = get(served.asgi, credit_usage="true", credit_usage_detail="true")
    usage = told(answer.body)
    assert usage.pop("event_ids")
    assert usage == {
        "total_results": None, "total_credits": None, "status": "pending", "by_credit_type": None, "remaining": None,
    }  # fmt: skip
    served.close()
    assert len(served.transport.events) == 1


def test_with_the_meter_away_the_answer_goes_out_and_the_event_is_sent_later() -> None:
    served = Served(answering(b"{}"))
    served.transport.available = False
    assert told(get(served.asgi, credit_usage="true").body) == {"total_results": None, "total_credits": None}
    served.transport.available = True
    served.close()
    assert len(served.transport.events) == 1


def test_several_uses_of_one_call_are_summed() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        call = current_call()
        call.usages += [call.usage("acme", "/v1/ip", ip=ip) for ip in ("192.0.2.1", "192.0.2.2", "192.0.2.1")]
        await answering(b"{}", found={"results": 0})(scope, receive, send)

    served = Served(app)
    assert told(get(served.asgi, "/v1/free", credit_usage="true").body) == {"total_results": 2, "total_credits": 40}
    assert len(served.transport.events) == 4
    served.close()


def test_a_describing_function_that_raises_breaks_no_answer_and_is_counted() -> None:
    def broken(call: Call) -> None:
        raise KeyError("account")

    served = Served(answering(b"{}"), describe=broken)
    assert get(served.asgi, credit_usage="true").body == b"{}"
    assert served.meter.counts().undescribed > 0
    served.close()


def test_a_caller_gains_nothing_by_its_own_ids_and_forged_headers() -> None:
    served = Served(answering(b"{}"), balances={"acme": {"credit": 100}})
    forged = {
        "x-request-id": "same", "idempotency-key": "same", "event-id": "same", "event_id": "same", "hold-id": "mine",
        "x-creditmeter-credits": "0", "credit-usage": "true",
    }  # fmt: skip
    for _ in range(3):
        usage = told(asyncio.run(call_asgi(served.asgi, scope_of(headers=forged))).body)
        assert usage["total_credits"] == 6
    assert len({recorded.event_id for recorded in served.transport.events}) == 3
    assert served.transport.balance("acme") == 82
    served.close()


def test_every_call_is_told_what_the_ledger_says() -> None:
    """Repeats of an address, free and failing endpoints, several charges, nothing found; a few at once."""
    chance = random.Random(11)
    failing = (200, 200, 200, 200, 404, 500)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        call = current_call()
        call.subjects["ip"] = f"192.0.2.{chance.randrange(100)}"
        found = chance.choice((0, 1, 1, 25))
        await answering(b"{}", status=chance.choice(failing), found={"results": found})(scope, receive, send)

    served = Served(app)
    paths = ["/v1/people", "/v1/ip", "/v1/free", "/v1/both", "/v1/unpriced"]
    sums = {"told": 0, "answers": 0}

    async def one() -> None:
        headers = {"credit-usage": "true", "credit-usage-detail": "true"}
        answer = await call_asgi(served.asgi, scope_of(chance.choice(paths), headers=headers))
        if answer.status != 200:
            assert answer.body == b"{}"
            return
        usage = told(answer.body)
        (event_id,) = usage["event_ids"]
        lines = served.transport.decision(event_id, "acme").lines
        assert usage["total_credits"] == sum(line.credits for line in lines)
        sums["told"] += usage["total_credits"]
        sums["answers"] += 1

    async def run() -> None:
        for _ in range(CALLS // 10):
            await asyncio.gather(*(one() for _ in range(10)))

    asyncio.run(run())
    served.close()
    assert len(served.transport.events) == CALLS
    assert sums["answers"] > CALLS / 2
    assert sums["told"] == served.transport.charged("acme") > 0


def test_the_breaker_stops_waiting_and_tries_now_and_then() -> None:
    breaker = Breaker(BreakerPolicy(failures=2, pause=5.0))
    for now in (0.0, 1.0):
        assert breaker.may_wait(now)
        breaker.note(now, answered=False)
    assert [breaker.may_wait(now) for now in (2.0, 5.9, 6.0, 6.1)] == [False, False, True, False]
    breaker.note(6.2, answered=False)
    assert not breaker.may_wait(7.0)
    assert breaker.may_wait(11.0)
    breaker.note(11.1, answered=True)
    assert breaker.may_wait(11.2)


def test_with_the_breaker_open_nobody_waits_and_every_call_is_recorded() -> None:
    served = Served(answering(b"{}"))
    served.transport.decides = False
    for _ in range(8):
        get(served.asgi, credit_usage="true")
    served.transport.decides = True
    assert told(get(served.asgi, credit_usage="true").body)["total_credits"] is None
    served.close()
    assert len(served.transport.events) == 9
