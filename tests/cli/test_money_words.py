"""What people read: outputs in words, changes of settings, and what became of replayed letters."""

from typing import Any

import pytest

from application.commands.account_settings import AccountPlan, AccountSettings, SettingsChange, differences
from application.commands.outcome_sentences import REJECTED, in_words, would_be
from application.dead_letters.resent import Replay, ReplayOutcome, Replays, share_success
from application.errors import Failed
from metering.account import Account
from metering.records import LAST_INSTANT, YEAR_2000, Command, Kind, RejectReason
from metering.validation import check_account_update
from streams.log.place import Place

AT = 1_767_225_600_000
GRANT = {
    "type": "grant", "grant_id": "g", "account_id": "acme", "credit_type": "credit", "status": "applied",
    "credits": 5_000, "expires_at": None, "balance_after": 4_990, "reason": "", "changed_at": AT,
}  # fmt: skip
REFUND = {
    "type": "refund", "refund_id": "r", "account_id": "acme", "event_id": "e", "line": 0, "charge": "ip-lookup",
    "status": "refunded", "reject_reason": None, "credits": 20, "forfeited": 0, "credit_type": "credit",
    "remaining_charge": 0, "balance_after": 60, "reason": "", "requested_at": AT,
}  # fmt: skip


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (GRANT, "granted: 5,000 credits to acme (never expires); balance 4,990 credits"),
        (
            GRANT | {"expires_at": AT},
            "granted: 5,000 credits to acme (expires 2026-01-01T00:00:00Z); balance 4,990 credits",
        ),
        (GRANT | {"status": "expired", "credits": 7}, "expired: 7 credits of grant g forfeited; balance 4,990 credits"),
        (REFUND, "refunded: event e, ip-lookup: 20 credits (the whole charge); balance 60 credits"),
        (
            REFUND | {"credits": 5, "forfeited": 2, "remaining_charge": 9},
            ("refunded: event e, ip-lookup: 5 credits, 2 of them forfeited with their grants (9 of the charge left); "
             "balance 60 credits"),
        ),
        (
            {"type": "alert", "kind": "below", "credit_type": "credit", "mark": 100, "balance": 90},
            "alert: the balance of credit has fallen below 100: 90",
        ),
        (
            {"type": "alert", "kind": "empty", "credit_type": "credit", "mark": None, "balance": -3},
            "alert: the balance of credit is used up: -3",
        ),
        (
            {"type": "dead_letter", "reason": "invalid_event", "field": "credits", "detail": "a field is wrong"},
            "set aside: invalid_event, field credits: a field is wrong",
        ),
    ],
)  # fmt: skip
def test_outputs(output: dict[str, Any], words: str) -> None:
    assert in_words(output) == words


@pytest.mark.parametrize("reason", RejectReason)
def test_every_rejection_has_its_words(reason: RejectReason) -> None:
    said = in_words(REFUND | {"status": "rejected", "reject_reason": reason, "credit_type": None})
    assert said == f"rejected: event e: {REJECTED[reason]} ({reason})"


SETTINGS = AccountSettings(AccountPlan("team", AT, None), "allow", {"credit": 50, "email": 5})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (SettingsChange(on_empty="reject"), ["on empty: allow -> reject"]),
        (SettingsChange(no_plan=True), ["plan: team from 2026-01-01T00:00:00Z -> none"]),
        (SettingsChange(plan="solo"), ["plan: team from 2026-01-01T00:00:00Z -> solo from 2026-01-02T00:00:00Z"]),
        (
            SettingsChange(ends_at=AT + 86_400_000),
            ["plan: team from 2026-01-01T00:00:00Z -> team from 2026-01-01T00:00:00Z until 2026-01-02T00:00:00Z"],
        ),
        (
            SettingsChange(marks={"mobile": -1}, no_marks=("email", "unknown")),
            ["alert below: credit 50, email 5 -> credit 50, mobile -1"],
        ),
        (SettingsChange(marks={"credit": 50}), []),
    ],
)
def test_a_change_leaves_the_rest_as_it_is(change: SettingsChange, told: list[str]) -> None:
    assert list(differences(SETTINGS, change.applied(SETTINGS, AT + 86_400_000))) == told


@pytest.mark.parametrize(
    ("kept", "sent"),
    [
        (["team", 0, 2**63 - 1], AccountPlan("team", YEAR_2000, None)),
        (["team", AT, LAST_INSTANT + 1], AccountPlan("team", AT, None)),
        (["team", AT, LAST_INSTANT], AccountPlan("team", AT, LAST_INSTANT)),
        (["team", 0, 5], None),  # over before any event could be
        (["team", 2**62, None], None),  # never begins
    ],
)
def test_times_that_an_earlier_version_took_are_sent_on_as_what_they_mean(
    kept: list[Any], sent: AccountPlan | None
) -> None:
    account = Account("acme")
    account.plan = kept
    settings = AccountSettings.of(account)
    assert settings.plan == sent
    update = {"update_id": "u", "account_id": "acme", **settings.fields(), "at": AT}
    assert check_account_update(update) is None
    for at in (YEAR_2000, AT, LAST_INSTANT):
        counts = sent is not None and sent.started_at <= at and (sent.ends_at is None or at < sent.ends_at)
        assert (account.plan_for(at, None)[0] is not None) == counts


def test_times_of_no_plan_cannot_change() -> None:
    with pytest.raises(Failed, match="give --plan NAME too"):
        SettingsChange(ends_at=AT).applied(AccountSettings(None, "allow", {}), AT)


def replay(of: Place, offset: int, outcome: str, *outputs: dict[str, Any]) -> Replay:
    return Replay(of, "credits.requests", 0, offset, AT + offset, corrected=False, command=Command.REQUEST,
                  outcome=outcome, outputs=outputs)  # fmt: skip


LETTER = {"type": Kind.DEAD_LETTER, "reason": "in_future", "field": None, "index": 0}
REJECTION = REFUND | {"status": "rejected", "reject_reason": "unknown_charge"}
LINE = {"type": Kind.BILLED, "decision": "charged", "credits": 20, "credit_type": "credit"}


def test_what_settles_one_letter_settles_those_of_its_replays() -> None:
    first, second, alone = Place(0, 1, 0), Place(0, 5, 0), Place(0, 2, 0)
    replays: Replays = {
        first: [replay(first, 5, ReplayOutcome.SET_ASIDE, LETTER)],
        second: [replay(second, 6, ReplayOutcome.ACCEPTED, LINE)],
        alone: [replay(alone, 7, ReplayOutcome.SET_ASIDE, LETTER)],
    }
    share_success(replays)
    assert {place: [each.outcome for each in those] for place, those in replays.items()} == {
        first: [ReplayOutcome.SET_ASIDE, ReplayOutcome.ACCEPTED],
        second: [ReplayOutcome.ACCEPTED],
        alone: [ReplayOutcome.SET_ASIDE],
    }
    assert Place(0, 7, 0) not in replays, "the letter of a replay that failed is still to be replayed"


def test_a_header_that_names_its_own_place_ends_nothing() -> None:
    itself = Place(0, 5, 0)
    replays: Replays = {itself: [replay(itself, 5, ReplayOutcome.SET_ASIDE, LETTER)]}
    share_success(replays)
    assert [each.outcome for each in replays[itself]] == [ReplayOutcome.SET_ASIDE]


@pytest.mark.parametrize(
    ("outcome", "outputs", "words"),
    [
        (ReplayOutcome.ACCEPTED, (LINE, LINE | {"decision": "free", "credits": 0}), "to 0@9: charged 20 credit, free"),
        (ReplayOutcome.ACCEPTED, (REJECTION,), "to 0@9: refund rejected (unknown_charge)"),
        (ReplayOutcome.ACCEPTED, (GRANT,), "to 0@9: grant applied: 5,000 credit"),
        (ReplayOutcome.ACCEPTED, (), "to 0@9: accepted"),
        (ReplayOutcome.SET_ASIDE, (LETTER,), "to 0@9: set aside again: in_future"),
        (ReplayOutcome.REPEATED, (), "to 0@9: repeated, nothing changed"),
        (ReplayOutcome.UNDECIDED, (), "to 0@9: not decided yet"),
    ],
)  # fmt: skip
def test_what_became_of_a_replay(outcome: str, outputs: tuple[dict[str, Any], ...], words: str) -> None:
    assert replay(Place(0, 1, 0), 9, outcome, *outputs).sentence() == words


def test_a_dry_run_speaks_of_what_would_be() -> None:
    alert = {"type": "alert", "credit_type": "credit", "mark": None, "balance": 0}
    assert would_be(alert) == "would alert: the balance of credit is used up: 0"
    assert would_be(REFUND) == f"would be {in_words(REFUND)}"
