"""What is shown of an account: its newest lines from the replay and from before it, and how true they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from application.accounts.overview import read_account
from application.commands.account_settings import SettingsChange, change_settings
from application.errors import ErrorCode, Failed, Misconfigured
from streams import clock
from tests.application.in_memory_world import DAY, event, memory_of, priced_pipeline, send
from tests.application.recorded import RecordedNotices


def test_the_newest_lines_come_in_order_and_no_more_than_asked(tmp_path: Path) -> None:
    pipeline = priced_pipeline(tmp_path)
    send(pipeline, *(event(f"e{number}", ip=f"203.0.113.{number}") for number in range(4)))
    overview = read_account(pipeline, "acme", 0, 3)
    assert [line["event_id"] for line in overview.tail.lines] == ["e1", "e2", "e3"]
    assert overview.tail.is_whole
    assert read_account(pipeline, "acme", 0, 0).tail.lines == []


def test_lines_of_other_accounts_are_not_shown(tmp_path: Path) -> None:
    pipeline = priced_pipeline(tmp_path)
    send(pipeline, event("own"), event("others", "other"))
    assert [line["event_id"] for line in read_account(pipeline, "acme", 5, 5).tail.lines] == ["own"]


def test_claims_and_ids_are_counted_and_the_newest_claims_are_listed(tmp_path: Path) -> None:
    pipeline = priced_pipeline(tmp_path)
    now = clock.now_ms()
    send(pipeline, *(event(f"e{number}", ip=f"203.0.113.{number}", occurred_at=now + number) for number in range(3)))
    overview = read_account(pipeline, "acme", 2, 0)
    assert overview.claims.by_charge["ip-lookup"] == 3
    assert [claim.owner_event_id for claim in overview.claims.newest] == ["e2", "e1"]
    assert sum(overview.ids.values()) == 3


def test_it_is_true_up_to_the_logs_end_even_without_a_worker(tmp_path: Path) -> None:
    notices = RecordedNotices()
    pipeline = priced_pipeline(tmp_path, notices=notices)
    memory_of(pipeline).after_sending = lambda: None
    send(pipeline, event("e"))
    overview = read_account(pipeline, "acme", 0, 1)
    assert overview.balances["credit"].balance == -20
    assert (overview.place, overview.offset) == (f"{pipeline.names.requests}[0]", pipeline.input_log.bounds(0)[1] - 1)
    assert [line["event_id"] for line in overview.tail.lines] == ["e"]
    assert "counting claims and ids" in notices.activities


def test_a_plan_that_is_over_is_shown_and_does_not_count(tmp_path: Path) -> None:
    pipeline = priced_pipeline(tmp_path)
    now = clock.now_ms()
    for started_at, ends_at, counts in ((now - 2 * DAY, now - DAY, False), (now - DAY, now + DAY, True)):
        change_settings(pipeline, "acme", SettingsChange("enterprise", started_at, ends_at), None, 10)
        shown = {"name": "enterprise", "started_at": started_at, "ends_at": ends_at, "counts": counts}
        assert read_account(pipeline, "acme", 0, 0).plan == shown
    send(pipeline, event("e", "planless"))
    assert read_account(pipeline, "planless", 0, 0).plan is None


def test_an_account_whose_commands_were_all_set_aside_is_unknown(tmp_path: Path) -> None:
    pipeline = priced_pipeline(tmp_path)
    send(pipeline, event("e", ip="nowhere"))
    with pytest.raises(Failed, match=r"acme: no such account: .* holds no command of it that was accepted") as raised:
        read_account(pipeline, "acme", 0, 0)
    assert raised.value.code is ErrorCode.NOT_FOUND
    with pytest.raises(Misconfigured):
        read_account(pipeline, "a" * 129, 0, 0)
