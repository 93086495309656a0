"""Notices that go nowhere accept all that a use case reports."""

import pytest

from application.notices import Notices, Silent


def test_progress_takes_a_count_with_and_without_a_total(capfd: pytest.CaptureFixture[str]) -> None:
    notices: Notices = Silent()
    notices.remark("a remark")
    with notices.progress("replaying") as report:
        report(1)
        report(2, 10)
    with notices.progress("replaying", 10) as report:
        report(10)
    with notices.waiting("waiting") as change:
        change("still waiting")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("block", ["progress", "waiting"])
def test_an_error_of_the_work_itself_comes_through(block: str) -> None:
    with pytest.raises(KeyboardInterrupt), getattr(Silent(), block)("work"):
        raise KeyboardInterrupt
