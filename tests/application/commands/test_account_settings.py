"""Changes of settings: what stays as it is, and times that an earlier version accepted."""

from typing import Any

import pytest

from application.commands.account_settings import AccountSettings, PlanSetting, SettingsChange, differences
from application.errors import Failed
from metering.account import Account
from metering.records import LAST_INSTANT, YEAR_2000
from metering.validation import check_account_update

AT = 1_767_225_600_000
SETTINGS = AccountSettings(PlanSetting("team", AT, None), "allow", {"credit": 50, "email": 5})


@pytest.mark.parametrize(
    ("change", "lines"),
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
def test_a_change_leaves_the_rest_as_it_is(change: SettingsChange, lines: list[str]) -> None:
    assert list(differences(SETTINGS, change.applied(SETTINGS, AT + 86_400_000))) == lines


@pytest.mark.parametrize(
    ("kept", "sent"),
    [
        (["team", 0, 2**63 - 1], PlanSetting("team", YEAR_2000, None)),
        (["team", AT, LAST_INSTANT + 1], PlanSetting("team", AT, None)),
        (["team", AT, LAST_INSTANT], PlanSetting("team", AT, LAST_INSTANT)),
        (["team", 0, 5], None),  # over before any event could be
        (["team", 2**62, None], None),  # never begins
    ],
)
def test_times_that_an_earlier_version_took_are_sent_on_as_what_they_mean(
    kept: list[Any], sent: PlanSetting | None
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
