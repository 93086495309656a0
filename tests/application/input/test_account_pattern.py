"""Finding the payer: linear whatever the pattern and the path, and clear about what RE2 does not know."""

import pytest

from application.input.account_pattern import AccountPattern, AccountPatternError


def test_the_group_account_is_the_payer() -> None:
    pattern = AccountPattern(r"^/t/(?P<account>[^/]*)/")
    assert pattern.find("/t/größe/x") == "größe"
    assert pattern.find("/t//x") is None
    assert pattern.find("/x") is None


@pytest.mark.parametrize("pattern", [r"(a+)+(?P<account>b)$", r"^(?P<account>(a|aa)+)$", r"(?P<account>(.*)*)x"])
def test_a_pattern_that_would_never_end_elsewhere(pattern: str) -> None:
    """A backtracking engine never ends at 40 letters; at a million, any that is not linear runs into the timeout."""
    assert AccountPattern(pattern).find("a" * 1_000_000 + "!") is None


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("(", "is not a regular expression"),
        ("^/(.*)", "needs a group named account"),
        (r"(?=/t/)(?P<account>.+)", "lookaheads and backreferences"),
        (r"(?<!x)(?P<account>.+)", "lookaheads and backreferences"),
        (r"(?P<account>.)\1", "lookaheads and backreferences"),
        (r"(?P<account>a{5000})", "is not a regular expression"),
    ],
)
def test_what_cannot_be_used(pattern: str, said: str) -> None:
    with pytest.raises(AccountPatternError, match=said):
        AccountPattern(pattern)
