"""A command of a known id: whether it asks for the same, whatever the time at which it is sent again."""

from typing import Any

import pytest

from application.commands.account_settings import SettingsChange, change_settings
from application.commands.grants import GrantOrder, grant_credits
from application.commands.holds import HoldOrder, place_hold
from application.commands.refunds import RefundOrder, make_refunds, refund_requests, rehearse_refunds
from application.commands.repeats import Repeat, differing_fields, repeat_in_words
from application.commands.submitting import submit_and_wait
from application.in_memory import in_memory_pipeline
from application.pipeline import Pipeline
from application.wording import shown_time
from metering.records import Command
from streams import clock
from streams.log.place import Place

HOUR = 3_600_000
EVENT = {
    "event_id": "bulk-1", "account_id": "sid", "occurred_at": 1_770_000_000_000, "endpoint": "/v1/search",
    "ip": None, "quantities": {"results": 1}, "attributes": {},
}  # fmt: skip


@pytest.fixture
def pipeline(tmp_path: Any) -> Pipeline:
    return in_memory_pipeline(tmp_path, partitions=1)


@pytest.mark.parametrize(
    ("changes", "differences"),
    [
        ({}, []),
        ({"quantities": {"results": 1000}}, ["quantities.results 1000 instead of 1"]),
        ({"quantities": {}}, ["quantities.results nothing instead of 1"]),
        ({"ip": "203.0.113.7"}, ["ip 203.0.113.7 instead of nothing"]),
        ({"attributes": {"a": "x" * 99}}, [f"attributes.a {'x' * 60}… instead of nothing"]),
        (
            {"endpoint": "/v1/other", "quantities": {"results": 2}},
            ["endpoint /v1/other instead of /v1/search", "quantities.results 2 instead of 1"],
        ),
    ],
)
def test_differences_are_named(changes: dict[str, object], differences: list[str]) -> None:
    assert differing_fields(EVENT | changes, EVENT) == differences


def test_a_grant_again_is_the_same_at_any_time_and_another_amount_is_not(pipeline: Pipeline) -> None:
    now = clock.now_ms()
    grant_credits(pipeline, GrantOrder("acme", "credit", 100, now, now + HOUR, "g-1", "gift"), 10)
    later = grant_credits(pipeline, GrantOrder("acme", "credit", 100, now + 5, now + 5 + HOUR, "g-1", "gift"), 10)
    absolute = grant_credits(pipeline, GrantOrder("acme", "credit", 100, now + 9, now + HOUR, "g-1", "gift"), 10)
    for result in (later, absolute):
        assert result.decided.repeat == Repeat(Place(0, 0, None), ())
        assert not result.decided.is_other_content
    other = grant_credits(pipeline, GrantOrder("acme", "credit", 900, now, None, "g-1", "gift"), 10)
    ends = f"expires_at nothing instead of {shown_time(now + HOUR)}"
    assert other.is_repeated
    assert other.decided.is_other_content
    assert other.as_json()["repeat_of"] == {
        "first": "0@0", "differences": ["credits 900 instead of 100", ends],
    }  # fmt: skip
    assert other.decided.repeat is not None
    assert repeat_in_words(other.decided.repeat, "grant g-1 of acme") == (
        f"the same id with other content: credits 900 instead of 100, {ends}; "
        "grant g-1 of acme was accepted before at 0@0; nothing changed"
    )


def test_a_hold_again_and_another_hold_of_its_id(pipeline: Pipeline) -> None:
    now = clock.now_ms()
    place_hold(pipeline, HoldOrder("acme", {"credit": 5}, now, now + HOUR, "h-1"), 10)
    again = place_hold(pipeline, HoldOrder("acme", {"credit": 5}, now + 7, now + 7 + HOUR, "h-1"), 10)
    assert (again.is_repeated, again.decided.is_other_content) == (True, False)
    other = place_hold(pipeline, HoldOrder("acme", {"credit": 5, "email": 2}, now, now + 2 * HOUR, "h-1"), 10)
    assert other.decided.repeat is not None
    assert other.decided.repeat.differences == (
        f"expires_at {shown_time(now + 2 * HOUR)} instead of {shown_time(now + HOUR)}",
        "credits.email 2 instead of nothing",
    )  # fmt: skip


def test_a_refund_again_is_compared_when_it_is_rehearsed_too(pipeline: Pipeline) -> None:
    def requests(event_id: str) -> Any:
        order = RefundOrder(event_id, None, "acme", None, None, "", "r-1")
        return refund_requests(pipeline, order, clock.now_ms())

    (made,) = make_refunds(pipeline, requests("e-1"), 10)
    assert (made.is_repeated, made.repeat, made.is_refused) == (False, None, True)
    (again,) = make_refunds(pipeline, requests("e-1"), 10)
    assert (again.is_repeated, again.is_other_content) == (True, False)
    (other,) = make_refunds(pipeline, requests("e-2"), 10)
    (rehearsed,) = rehearse_refunds(pipeline, requests("e-2"), clock.now_ms())
    for result in (other, rehearsed):
        assert result.repeat == Repeat(Place(0, 0, None), ("event_id e-2 instead of e-1",))
        assert result.is_refused


def test_settings_under_a_known_id_change_nothing_and_say_so(pipeline: Pipeline) -> None:
    change_settings(pipeline, "acme", SettingsChange(on_empty="reject"), "u-1", 10)
    other = change_settings(pipeline, "acme", SettingsChange(on_empty="allow", marks={"credit": 5}), "u-1", 10)
    assert other.is_repeated
    assert other.is_refused
    assert other.after.on_empty == "reject"
    assert other.repeat is not None
    assert other.repeat.differences == (
        "on_empty allow instead of reject", "alert_below.credit 5 instead of nothing",
    )  # fmt: skip
    # A plan that begins with the update begins at the same distance from it when the update comes again.
    team = SettingsChange(plan="team")
    change_settings(pipeline, "acme", team, "u-2", 10)
    again = change_settings(pipeline, "acme", SettingsChange(plan="team", started_at=clock.now_ms() + 5_000), "u-2", 10)
    assert again.repeat is not None
    assert [difference.split()[0] for difference in again.repeat.differences or ()] == ["plan.started_at"]


def test_many_repeats_far_apart_are_all_compared(pipeline: Pipeline) -> None:
    now = clock.now_ms()
    record = {
        "account_id": "acme", "credit_type": "credit", "credits": 1, "granted_at": now, "expires_at": None,
        "reason": "",
    }  # fmt: skip
    submit_and_wait(pipeline, Command.GRANT, [record | {"grant_id": f"g{n}"} for n in range(1_200)], 10)
    again = [record | {"grant_id": f"g{n}", "credits": 1 + n % 2} for n in (0, 3, 1_199)]
    decided = submit_and_wait(pipeline, Command.GRANT, again, 10)
    assert [command.repeat.first.offset for command in decided if command.repeat and command.repeat.first] == [
        0,
        3,
        1_199,
    ]
    assert [command.is_other_content for command in decided] == [False, True, True]


def test_what_the_log_no_longer_has_is_not_called_the_same() -> None:
    assert repeat_in_words(Repeat(None, None), "grant g of a") == (
        "repeated: nothing changed; grant g of a was accepted before; whether it was the same is not known"
    )
    assert repeat_in_words(Repeat(Place(2, 7, None), ()), "grant g of a") == (
        "repeated: nothing changed; grant g of a was accepted before at 2@7"
    )
