"""A price book's text: what YAML it may be, and the line of every mistake in it."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.prices import Book
from schemas import price_book
from schemas.price_book import BookFileError, LineMistake, book_id, read_book

GOOD = """\
price_lock: none
versions:
  - version: "2026-01"
    effective_from: 2026-01-01T00:00:00Z
    charges:
      - charge: lookup
        credits: 20
        when: {endpoint: /v1/lookup}
"""


def mistakes(text: str) -> list[LineMistake]:
    with pytest.raises(BookFileError) as caught:
        read_book(text, "b.yaml")
    return caught.value.mistakes


def good_with(line: str) -> Book:
    return read_book(f"{GOOD}        {line}\n")


def test_a_good_book() -> None:
    [version] = read_book(GOOD).versions
    assert (version.version, version.effective_from) == ("2026-01", 1_767_225_600_000)
    assert [(charge.charge, charge.credits) for charge in version.charges] == [("lookup", 20)]


@pytest.mark.parametrize(
    "text", ["\ufeff" + GOOD, GOOD.replace("\n", "\r\n"), "---\n" + GOOD + "...\n", "# prices\n" + GOOD]
)
def test_the_same_book_in_other_dress(text: str) -> None:
    assert read_book(text).versions == read_book(GOOD).versions


@pytest.mark.parametrize(
    "word", ["on", "off", "yes", "no", "y", "N", "none", "2026-01-01", "1_000", "1:30", "<<", "=", "0b1"]
)
def test_words_that_older_yaml_would_turn_into_something_else_are_text(word: str) -> None:
    assert good_with(f"feature: {word}").versions[0].charges[0].feature == word


@pytest.mark.parametrize("written", ["true", "True", "FALSE", "5", "0x1F", "0o7", "1.5", ".inf", "1e3"])
def test_what_is_no_text_has_to_be_quoted_where_text_is_meant(written: str) -> None:
    [mistake] = mistakes(f"{GOOD}        feature: {written}\n")
    assert (mistake.line, mistake.path_text) == (9, "versions[0].charges[0].feature")
    assert "put it in quotes" in mistake.message
    assert good_with(f'feature: "{written}"').versions[0].charges[0].feature == written
    assert good_with(f"feature: !!str {written}").versions[0].charges[0].feature == written


@pytest.mark.parametrize(("written", "credit"), [("010", 10), ("0x10", 16), ("0o10", 8), ("+5", 5), ('!!int "7"', 7)])
def test_whole_numbers(written: str, credit: int) -> None:
    [charge] = read_book(GOOD.replace("credits: 20", f"credits: {written}")).versions[0].charges
    assert charge.credits == credit


def test_aliases_are_read_and_a_mistake_behind_one_is_told_where_it_is_used() -> None:
    text = """\
versions:
  - version: a
    effective_from: 2020-01-01T00:00:00Z
    charges:
      - {charge: x, credits: 1, when: &when {endpoint: /x}}
      - {charge: y, credits: 1, when: *when}
      - &z {charge: z, credits: 1}
      - *z
"""
    [mistake] = mistakes(text)
    assert mistake == LineMistake(8, "versions[0].charges[3].charge", "charges[2] has this id already")
    [version] = read_book(text.replace("      - *z\n", "")).versions
    assert version.charges[0].when == version.charges[1].when == {"endpoint": ("/x",)}


def test_ten_mistakes_are_all_told_with_their_lines() -> None:
    text = """\
price_lok: none
limits:
  accept_window: 0d
  future_skew: soon
versions:
  - version: 2026
    effective_from: 2026-01-01
    charges:
      - charge: a
        credits: 1.5
        credits: 2
        when: {endpont: /x}
        unique:
          by:
            - ip
            - colour
          within: 0h
      - charge: a
        plans:
          pro: -1
"""
    assert [(one.line, one.path_text) for one in mistakes(text)] == [
        (1, "price_lok"),
        (3, "limits.accept_window"),
        (4, "limits.future_skew"),
        (6, "versions[0].version"),
        (7, "versions[0].effective_from"),
        (10, "versions[0].charges[0].credits"),
        (11, "versions[0].charges[0].credits"),
        (12, "versions[0].charges[0].when.endpont"),
        (16, "versions[0].charges[0].unique.by[1]"),
        (17, "versions[0].charges[0].unique.within"),
        (18, "versions[0].charges[1].credits"),
        (18, "versions[0].charges[1].charge"),
        (20, "versions[0].charges[1].plans.pro"),
    ]


def test_the_error_reads_as_lines_that_an_editor_can_follow() -> None:
    with pytest.raises(BookFileError) as caught:
        read_book("versions: []\nversions: []\n", "my.yaml")
    assert str(caught.value) == (
        "my.yaml:1: versions: must have at least one item\nmy.yaml:2: versions: stands twice here: line 1 has it too"
    )


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "empty"),
        ("# only a comment\n", 1, "empty"),
        ("versions: [1\nx: 2", 2, "not YAML"),
        ("versions:\n\t- a", 2, "not YAML"),
        ("a: 'open\n\n", 3, "not YAML"),
        ("a: *nowhere", 1, "undefined alias"),
        ("a: 1\n---\nb: 2", 2, "single document"),
        ("a: 1\nb: \0", 2, "U+0000"),
        ("a: 1\nb: \ud800", 2, "U+D800"),
        ('a: 1\nb: "\\UFFFFFFFF"', 2, "impossible number"),
        (f"%YAML 1.{'1' * 5000}\n---\na: 1", 1, "impossible number"),
        ("a:\n  " + "[" * 5_000, 2, "levels"),
        ("a: " + "{b: " * 40, 1, "levels"),
        ("versions: &a [*a]", 1, "levels"),
        ("a: &a {b: *a}", 1, "levels"),
        ("x" * (price_book.LONGEST_BOOK + 1), 1, "characters"),
    ],
)  # fmt: skip
def test_a_text_that_cannot_be_read_at_all_has_one_mistake(text: str, line: int, message: str) -> None:
    [mistake] = mistakes(text)
    assert mistake.line == line
    assert message in mistake.message


@pytest.mark.parametrize(
    ("text", "line", "path", "message"),
    [
        ("1: x", 1, "", "the key '1' is not text"),
        ("true: x", 1, "", "the key 'true' is not text"),
        ("~: x", 1, "", "the key '~' is not text"),
        ("limits:\n  ? [a]\n  : 1", 2, "limits", "the key is not text"),
        ("a: &a {}\n<<: *a", 2, "", "merge keys"),
        ("limits: !mine {}", 1, "limits", "tag !mine"),
        ("limits: !!python/object:os.system {}", 1, "limits", "python/object"),
        ("price_lock: !!binary aGk=", 1, "price_lock", "as binary"),
        ("price_lock: !!int none", 1, "price_lock", "'none' cannot be read as int"),
        ("price_lock: " + "9" * 5_000, 1, "price_lock", "cannot be read as int"),
    ],
)
def test_what_yaml_allows_and_a_book_does_not(text: str, line: int, path: str, message: str) -> None:
    matching = [one for one in mistakes(text) if message in one.message]
    assert [(one.line, one.path_text) for one in matching] == [(line, path)]
    # A value that could not be read is not told a second time as a value of the wrong kind.
    if path:
        assert sum(one.path_text == path for one in mistakes(text)) == 1


def test_few_lines_cannot_stand_for_billions() -> None:
    rows = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 10)}]" for n in range(9)]
    [mistake] = mistakes("\n".join(rows))
    assert "100000 values" in mistake.message


def test_the_id_is_the_hash_of_the_text() -> None:
    assert book_id("prices: é") == hashlib.sha256("prices: é".encode()).hexdigest()
    assert book_id(GOOD) != book_id(GOOD + "#\n")


PIECES = st.sampled_from(
    ["versions:", "\n", "  ", "- ", "charge: a", "credits: 1", "&a ", "*a", "[", "]", "{", "}", ": ", "? ", "|", ">",
     "!!int ", "!x ", '"', "'", "\\x", "%YAML", "---", "...", "#", "~", "<<: ", "\t", "1", "\\uD800", "\ud800", "\0"]
)  # fmt: skip


@given(st.lists(PIECES | st.text(max_size=4), max_size=30).map("".join))
def test_whatever_the_text_a_book_or_its_mistakes_come(text: str) -> None:
    mistakes_of_error = []
    try:
        read_book(text)
    except BookFileError as error:
        mistakes_of_error = error.mistakes
    assert all(one.line >= 1 and one.message for one in mistakes_of_error)
    assert [one.line for one in mistakes_of_error] == sorted(one.line for one in mistakes_of_error)
