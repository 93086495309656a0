"""Checks the statements of readers, in addition to the engine's own read-only mode.

The engine's read-only mode leaves holes that were seen: ``INTO OUTFILE`` writes, ``KILL QUERY`` stops the loader's
insert, and chDB's scalar function ``file()`` reads any file of the machine.
"""

from __future__ import annotations

import re
from itertools import pairwise

from sinks.sink import SinkRejected

READING = ("select", "with", "show", "describe", "desc", "explain", "exists")
"""First words of the statements that a reader may run."""

FORBIDDEN_FUNCTIONS = frozenset({"file"})
"""Scalar functions that leave the database, and that no grant or setting of the engine closes."""

SPELLING_FUNCTION = "formatQuerySingleLine"

_BLANK = re.compile(r"(?:\s++|--[^\n]*+(?:\n|$)|#[! ][^\n]*+(?:\n|$)|/\*.*?\*/)++", re.DOTALL)
_FIRST_WORD = re.compile(r"[\s(]*([A-Za-z]+)")
_FORMAT = re.compile(r"\sFORMAT\s+\w+\s*$")
_TOKEN = re.compile(
    r"""'(?:[^'\\]|\\.)*'            # a string: skipped
      | `(?P<quoted>(?:[^`\\]|\\.)*)`
      | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<equals>=)
      | .""",
    re.DOTALL | re.VERBOSE,
)


def check_statement(sql: str) -> str:
    """The statement without what surrounds it; raises SinkRejected for one that does not begin as a reading one."""
    if "\0" in sql:
        raise SinkRejected("the statement contains a NUL byte")
    text = _without_comment(sql).rstrip().rstrip(";").rstrip()
    first = first_word(text)
    if not first:
        raise SinkRejected("the statement is empty")
    if first not in READING:
        raise SinkRejected(f"only reading is allowed here, not {first.upper()}: begin with SELECT, WITH or SHOW")
    return text


def first_word(sql: str) -> str:
    """The statement's first word in small letters; empty where there is none."""
    match = _FIRST_WORD.match(_without_comment(sql))
    return match.group(1).lower() if match else ""


def _without_comment(sql: str) -> str:
    start = _BLANK.match(sql)
    return sql[start.end() :] if start else sql


def check_canonical(canonical: str) -> None:
    r"""Raises SinkRejected where a statement, as the engine itself spells it, writes, or leaves the database.

    The engine's spelling is looked at because it has resolved comments, quotes and escapes (`` `fi\x6ce` ``).
    """
    words: list[str] = []
    tokens = [match for match in _TOKEN.finditer(canonical) if not match[0].isspace()]
    for clause, _, sign in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if (clause.group("word") or "").upper() == "SETTINGS" and sign.group("equals"):
            raise SinkRejected("leave SETTINGS out of the statement: its limits and its time zone are fixed")
    for token in tokens:
        word = (token.group("word") or token.group("quoted") or "").lower()
        if word:
            # After a dot it is a column of a table, never a function.
            if word in FORBIDDEN_FUNCTIONS and canonical[token.start() - 1 : token.start()] != ".":
                raise SinkRejected(f"{word} reaches outside the database: it is not allowed here, not even as a name")
            words.append(word)
    if ("into", "outfile") in pairwise(words):
        raise SinkRejected("INTO OUTFILE writes a file: leave it out, and save what is printed")
    if _FORMAT.search(canonical):
        raise SinkRejected("leave FORMAT out of the statement: the format is chosen beside it")


def spelling_query(text: str) -> str:
    """The query that returns the engine's own spelling of a statement."""
    literal = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"SELECT {SPELLING_FUNCTION}('{literal}')"
