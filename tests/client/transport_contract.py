"""What every transport does, whatever is behind it: in memory, HTTP, Kafka."""

import uuid
from typing import Protocol

import pytest
from creditmeter_client import DecisionStatus, DeliveryStatus, Event, EventTransport, HoldRequest, HoldStatus, Questions
from creditmeter_client.usage import Usage, event_of, refund_of


class Place(Protocol):
    """Where the transport leads to. `arrived`: ids of an account's events, each once, in the order of the log."""

    transport: EventTransport

    def arrived(self, account_id: str) -> list[str]: ...
    def now_ms(self) -> int: ...


class Asked(Place, Protocol):
    """One that answers. Prices: /v1/ip-lookup costs 20, once an address; /v1/search 2 for each of `results`."""

    questions: Questions

    def grant(self, account_id: str, credits_: int) -> None:
        """Gives credits to an account, which is refused what it can't pay."""
        ...


def account() -> str:
    return f"acct-{uuid.uuid4().hex[:10]}"


def event(place: Place, account_id: str, event_id: str, endpoint: str = "/v1/search", **fields: object) -> Event:
    usage = Usage(account_id, endpoint, **fields)  # type: ignore[arg-type]
    return event_of(usage, now=place.now_ms(), event_id=event_id)


class EventContract:
    """Inherit, and give the fixture `place`."""

    def test_events_arrive_in_order_each_with_a_receipt(self, place: Place) -> None:
        name = account()
        events = [event(place, name, f"e{number}", quantities={"results": number}) for number in range(30)]
        deliveries = place.transport.send(events)
        assert [one.status for one in deliveries] == [DeliveryStatus.STORED] * 30
        assert len({one.receipt for one in deliveries}) == 30
        assert place.arrived(name) == [f"e{number}" for number in range(30)]

    def test_sent_again_it_is_there_once(self, place: Place) -> None:
        name = account()
        for _ in range(3):
            assert place.transport.send([event(place, name, "same")])[0].status is DeliveryStatus.STORED
        assert place.arrived(name) == ["same"]

    def test_events_of_many_accounts_go_in_one_request(self, place: Place) -> None:
        names = [account() for _ in range(25)]
        deliveries = place.transport.send([event(place, name, "e") for name in names])
        assert {one.status for one in deliveries} == {DeliveryStatus.STORED}
        assert [place.arrived(name) for name in names] == [["e"]] * 25

    def test_every_field_arrives(self, place: Place) -> None:
        name = account()
        everything = event(
            place, name, "zoë/顧客", endpoint="/v1/ip-lookup", channel="js", actor="a", request_id="r", user_id="u",
            ip="2001:db8::1", domain="straße.de", plan="pro", quantities={"n": 10**9}, attributes={"k": "v" * 1024},
        )  # fmt: skip
        assert place.transport.send([everything])[0].status is DeliveryStatus.STORED
        assert place.arrived(name) == ["zoë/顧客"]


class RefundContract:
    """Inherit, and give the fixture `place`."""

    def test_refunds_are_taken(self, place: Place) -> None:
        name = account()
        refund = refund_of(name, "e", "the work failed", now=place.now_ms())
        assert [
            one.status for one in place.transport.send([event(place, name, "e", quantities={"results": 1}), refund])
        ] == [DeliveryStatus.STORED] * 2


class QuestionContract:
    """Inherit, and give the fixture `asked`."""

    def test_decisions_say_what_it_cost_and_a_repeat_what_the_first_did(self, asked: Asked) -> None:
        name = account()
        asked.grant(name, 100)
        first, second = event(asked, name, "a", quantities={"results": 3}), event(asked, name, "b", "/v1/ip-lookup")
        decisions = asked.questions.decide([first, second], 30.0)
        assert [one.status for one in decisions] == [DecisionStatus.DECIDED] * 2
        assert decisions[0].credits == 6
        assert [line.balance_after for line in decisions[0].lines] == [94]
        assert [line.decision for line in decisions[1].lines] == ["missing_subject"]
        again = asked.questions.decide([first], 30.0)[0]
        assert again.credits == 6
        assert asked.arrived(name) == ["a", "b"]

    def test_an_address_is_paid_for_once(self, asked: Asked) -> None:
        name = account()
        asked.grant(name, 100)
        events = [event(asked, name, str(number), "/v1/ip-lookup", ip="203.0.113.9") for number in range(2)]
        decisions = asked.questions.decide(events, 30.0)
        assert [one.credits for one in decisions] == [20, 0]
        assert decisions[1].lines[0].owner_event_id == "0"

    def test_what_the_balance_does_not_cover_is_not_charged(self, asked: Asked) -> None:
        name = account()
        asked.grant(name, 5)
        decision = asked.questions.decide([event(asked, name, "a", quantities={"results": 3})], 30.0)[0]
        assert (decision.insufficient, decision.credits) == (True, 0)


class HoldContract:
    """Inherit, and give the fixture `asked`."""

    @pytest.mark.parametrize("by_event", [True, False])
    def test_holds_set_aside_and_are_settled_by_the_event_that_names_them(self, asked: Asked, by_event: bool) -> None:
        name = account()
        asked.grant(name, 50)
        later = asked.now_ms() + 600_000
        coming = event(asked, name, "coming", quantities={"results": 20})
        request = (
            HoldRequest(event=coming, expires_at=later)
            if by_event
            else HoldRequest(credits={"credit": 40}, expires_at=later)
        )
        held = asked.questions.hold(f"h-{name}", name, request, 30.0)
        assert (held.status, held.credits) == (HoldStatus.HELD, {"credit": 40})
        refused = asked.questions.hold(f"h2-{name}", name, HoldRequest(credits={"credit": 11}, expires_at=later), 30.0)
        assert (refused.status, refused.required, refused.available) == (
            HoldStatus.REJECTED, {"credit": 11}, {"credit": 10},
        )  # fmt: skip
        drawing = event_of(
            Usage(name, "/v1/search", quantities={"results": 4}), now=asked.now_ms(), hold_id=held.hold_id
        )
        assert asked.questions.decide([drawing], 30.0)[0].credits == 8
        again = asked.questions.hold(f"h3-{name}", name, HoldRequest(credits={"credit": 42}, expires_at=later), 30.0)
        assert again.status is HoldStatus.HELD
        asked.questions.release(name, again.hold_id)
        last = asked.questions.hold(f"h4-{name}", name, HoldRequest(credits={"credit": 42}, expires_at=later), 30.0)
        assert last.status is HoldStatus.HELD


class EstimateContract:
    """Inherit, and give the fixture `asked`."""

    def test_an_estimate_counts_one_after_another_and_stores_nothing(self, asked: Asked) -> None:
        name = account()
        asked.grant(name, 50)
        asked.questions.decide([event(asked, name, "before", "/v1/ip-lookup", ip="203.0.113.1")], 30.0)
        coming = [
            event(asked, name, "1", "/v1/ip-lookup", ip="203.0.113.1"),  # paid for before
            event(asked, name, "2", "/v1/ip-lookup", ip="203.0.113.2"),
            event(asked, name, "3", "/v1/ip-lookup", ip="203.0.113.2"),
            event(asked, name, "4", quantities={"results": 5}),
        ]
        estimate = asked.questions.estimate(name, coming)
        assert (estimate.account_id, estimate.credits) == (name, {"credit": 30})
        assert (estimate.suffices, estimate.refused_events) == (True, 0)
        more = asked.questions.estimate(name, [*coming, event(asked, name, "5", quantities={"results": 1})])
        assert (more.credits, more.suffices, more.refused_events) == ({"credit": 30}, False, 1)
        assert asked.arrived(name) == ["before"]
