"""Times of files, in each form that they are written in, as ms."""

import pytest

from application.input.times import epoch_seconds, instant, server_time
from metering.records import LAST_INSTANT

NEW_YEAR = 1_483_228_800_000  # 2017-01-01T00:00:00Z, after a leap second


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2017-01-01T00:00:00Z", NEW_YEAR),
        ("2017-01-01T01:30:00.1239999+01:30", NEW_YEAR + 123),
        ("2016-12-31T23:59:60Z", NEW_YEAR),
        ("2017-01-01T00:59:60.5+01:00", NEW_YEAR + 500),
    ],
)
def test_rfc_3339(text: str, ms: int) -> None:
    assert instant(text) == ms


@pytest.mark.parametrize("text", ["", "2017-01-01", "2016-12-31T22:59:60Z", "2017-02-30T00:00:00Z", "2" * 65])
def test_no_rfc_3339(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        instant(text)


def test_a_servers_time() -> None:
    assert server_time("01/Jan/2017:02:00:00 +0200") == NEW_YEAR
    for wrong in ("01/jan/2017:02:00:00 +0200", "31/Feb/2017:00:00:00 +0000", "01/Jan/2017:02:00:00"):
        with pytest.raises(ValueError, match="is not a time"):
            server_time(wrong)


def test_seconds_since_the_epoch() -> None:
    assert [epoch_seconds(text) for text in ("1483228800", "1483228800.1239", "1.4832288e9", "0")] == [
        NEW_YEAR, NEW_YEAR + 123, NEW_YEAR, 0,
    ]  # fmt: skip
    assert epoch_seconds(str(LAST_INSTANT // 1_000)) == LAST_INSTANT // 1_000 * 1_000
    for wrong in ("-1", "nan", "inf", "1e999999999", "x", "", "9" * 65):
        with pytest.raises(ValueError, match=r"since 1970|1970 to 9999"):
            epoch_seconds(wrong)
