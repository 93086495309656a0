"""What the benchmark says of its own figures: which aims are missed, and whether a lag is flat."""

import pytest

from bench.contest import Figures
from bench.end_to_end import EndToEnd, Look, _figures
from bench.table import print_table, ratios


def test_ratios_are_of_what_was_measured_and_say_what_is_missed(capsys: pytest.CaptureFixture[str]) -> None:
    speeds = {"one": Figures(3_000, 2.0, 0.03), "two": Figures(4_000, 2.0, 0.04)}
    compared = ratios(
        speeds, [("two / one", "two", "one", 1.6), ("one / two", "one", "two", None), ("x", "two", "x", 1)]
    )
    assert [(ratio.name, round(ratio.found, 2)) for ratio in compared] == [("two / one", 1.33), ("one / two", 0.75)]
    print_table(speeds, compared, [["and more"], []])
    shown = capsys.readouterr().err
    assert "1.33x   wanted 1.6x   MISSED\n" in shown
    assert "0.75x\n" in shown
    assert "1,500              10.0" in shown
    assert shown.endswith("\n\nand more\n")


@pytest.mark.parametrize(("visible_a_second", "flat"), [(10_000, True), (9_990, True), (9_000, False)])
def test_a_lag_is_flat_where_what_is_sent_becomes_visible(visible_a_second: int, flat: bool) -> None:
    looks = [Look(at, 10_000 * at + 500, 10_000 * at, visible_a_second * at) for at in range(61)]
    figures = _figures(looks, {"worker": 6.0, "loader": 3.0})
    assert isinstance(figures, EndToEnd)
    assert (figures.sent, figures.rate, figures.seconds) == (10_000, visible_a_second, 60)
    assert figures.cpu_micros == pytest.approx(9e6 / (60 * visible_a_second))
    assert figures.is_flat is flat
