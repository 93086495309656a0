"""What stands in the data must not act on the terminal: anybody's request may be in it."""

import pytest

from cli.terminal.output import print_line, print_status, visible
from cli.terminal.tables import print_table

NASTY = "e\x1b[2J\x1b]0;owned\x07\r\nrefunded: all\x9b31m\u202egpj.exe"
SHOWN = r"e\x1b[2J\x1b]0;owned\x07\r\nrefunded: all\x9b31m\u202egpj.exe"


def test_what_acts_on_a_terminal_is_shown_instead() -> None:
    assert visible(NASTY) == SHOWN
    assert visible("Straße 🦊 日本 [bold]") == "Straße 🦊 日本 [bold]"


def test_tables_lines_and_words_for_people_show_it(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("reason",), [(NASTY,)])
    print_line(NASTY)
    print_status("one\ntwo \x1b[2J")
    out, err = capsys.readouterr()
    assert out.count(SHOWN) == 2
    assert err == "one\ntwo \\x1b[2J\n"
    assert "\x1b]" not in out
