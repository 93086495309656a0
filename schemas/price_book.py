"""Reads a price book's YAML text: into a `Book`, or into all its mistakes with their lines; and computes its id.

YAML here means its core schema (only `true` and `false` are booleans, times and words like `on` stay text), so that a
plan called `no` is what it looks like. The reader is always PyYAML's own in Python, never the one in C: what a book in
the log means must not depend on how a machine was installed.
"""

import copy
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import yaml

from metering.prices import Book, Mistake, PriceBookError, UnusableBook, parse_book
from metering.state import book_id_of

LONGEST_BOOK = 512 * 1024  # characters; a book is one Kafka message
DEEPEST = 32  # levels inside each other; a book's own shape has 8
MOST_VALUES = 100_000  # after aliases are written out, so that few lines cannot stand for billions

_LONGEST_NUMBER = 100
_TAG = "tag:yaml.org,2002:"
_Path = tuple[str | int, ...]


class LineMistake(NamedTuple):
    """A mistake at a line (from 1) of a book; `path_text` is like `versions[0].charges[1].credits`, or empty."""

    line: int
    path_text: str
    message: str


class BookFileError(UnusableBook):
    """A price book's text that cannot be used. `mistakes` are sorted by line; its text has one a line."""

    def __init__(self, mistakes: list[LineMistake], name: str = "price book", book: Book | None = None) -> None:
        self.mistakes = sorted(mistakes, key=lambda mistake: mistake.line)
        places = (f"{name}:{line}: {path}: " if path else f"{name}:{line}: " for line, path, _ in self.mistakes)
        super().__init__("\n".join(place + one.message for place, one in zip(places, self.mistakes, strict=True)), book)


def book_id(text: str) -> str:
    """The id under which a book is published: the SHA-256 of its text in hex, which the state machine compares."""
    return book_id_of(text)


def read_book(text: str, name: str = "price book") -> Book:
    """The book that a YAML text holds. BookFileError has all its mistakes; `name` stands before each of them."""
    if len(text) > LONGEST_BOOK:
        message = f"the text has {len(text)} characters; {LONGEST_BOOK} are the most"
        raise BookFileError([LineMistake(1, "", message)], name)
    root = _compose(text, name)
    reading = _Reading()
    try:
        data = reading.value(root, (), root.start_mark.line + 1, 0)
    except _TooMuchError as error:
        raise BookFileError([LineMistake(error.line, "", str(error))], name) from None
    try:
        book = parse_book(data)
    except PriceBookError as error:
        usable = None if reading.mistakes else error.book
        reading.mistakes += [reading.with_line(one) for one in error.mistakes if one.path not in reading.unread]
        raise BookFileError(reading.mistakes, name, usable) from None
    if reading.mistakes:
        raise BookFileError(reading.mistakes, name)
    return book


def with_lines(text: str, mistakes: Iterable[Mistake]) -> list[LineMistake]:
    """What is wrong with a book that can be read, each with its line; sorted by line."""
    root = _compose(text, "price book")
    reading = _Reading()
    reading.value(root, (), root.start_mark.line + 1, 0)
    return sorted((reading.with_line(mistake) for mistake in mistakes), key=lambda mistake: mistake.line)


class _TooMuchError(Exception):
    """The text describes more than any book needs."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


class _Loader(yaml.SafeLoader):
    """SafeLoader with the core schema's plain values, a bound on depth, and aliases that know their own line."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 -- the library's way to leave out the YAML 1.1 words of its base class

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        self._depth += 1
        if self._depth > DEEPEST:
            raise _TooMuchError(f"more than {DEEPEST} levels inside each other", event.start_mark.line + 1)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if node is not None and isinstance(event, yaml.AliasEvent):
            node = copy.copy(node)  # shares its content with the anchor's
            node.start_mark = event.start_mark
        return node


for _name, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("float", r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", list("-+.")),
):
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(rf"(?:{_pattern})\Z"), _first)


def _compose(text: str, name: str) -> yaml.Node:
    """The tree of a text that is YAML."""
    line = 1
    try:
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
        except (ValueError, OverflowError):  # escapes and directives with numbers beyond what Python takes
            line = loader.get_mark().line + 1
            raise
    except _TooMuchError as error:
        mistake = LineMistake(error.line, "", str(error))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = ", ".join(part for part in (error.context, error.problem) if part)
        mistake = LineMistake(mark.line + 1 if mark else 1, "", f"this is not YAML: {said}")
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        mistake = LineMistake(line, "", f"the character U+{ord(text[error.position]):04X} cannot stand in YAML")
    except (yaml.YAMLError, ValueError, OverflowError):
        mistake = LineMistake(line, "", "this is not YAML: an escape or a directive here has an impossible number")
    else:
        if root is not None:
            return root
        mistake = LineMistake(1, "", "the book is empty")
    raise BookFileError([mistake], name)


class _Reading:
    """Turns YAML nodes into plain data and remembers the line of every path."""

    def __init__(self) -> None:
        self.mistakes: list[LineMistake] = []
        self.unread: set[_Path] = set()  # values noted here already, which stand as None in the data
        self._lines: dict[_Path, int] = {}
        self._values = 0
        self._seen: set[int] = set()  # ids of the contents met: a second time is an alias

    def with_line(self, mistake: Mistake) -> LineMistake:
        """A mistake with the line of its path, or of what should have held it."""
        path = mistake.path
        while path and path not in self._lines:
            path = path[:-1]
        return LineMistake(self._lines[path], mistake.where, mistake.message)

    def value(self, node: yaml.Node, path: _Path, line: int, depth: int) -> object:
        """The plain data of a node; `line` is where a person would look for it: that of its key, if it has one."""
        self._values += 1
        if self._values > MOST_VALUES or depth > DEEPEST:
            what = f"{MOST_VALUES} values" if self._values > MOST_VALUES else f"{DEEPEST} levels inside each other"
            raise _TooMuchError(f"with its aliases written out the book has more than {what}", line)
        self._lines[path] = line
        # A mistake behind an alias is reported at the alias, which is what makes it wrong there.
        alias = line if id(node.value) in self._seen else None
        self._seen.add(id(node.value))
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self._mapping(node, path, alias, depth)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            lines = [alias or item.start_mark.line + 1 for item in node.value]
            return [self.value(item, (*path, at), lines[at], depth + 1) for at, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path, line)
        self.unread.add(path)
        self._note(path, line, f"the tag {node.tag} is not known here")
        return None

    def _mapping(self, node: yaml.MappingNode, path: _Path, alias: int | None, depth: int) -> dict[str, object]:
        entries: dict[str, object] = {}
        first: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = alias or key_node.start_mark.line + 1
            key = self._scalar(key_node, path, line) if isinstance(key_node, yaml.ScalarNode) else None
            if not isinstance(key, str):
                name = f" {key_node.value!r}" if isinstance(key_node, yaml.ScalarNode) else ""
                self._note(path, line, f"the key{name} is not text; put it in quotes")
            elif key == "<<":
                self._note(
                    path, line, "merge keys (<<) are not read here; write the keys out, or use an alias as a value"
                )
            elif key in first:
                self._note((*path, key), line, f"stands twice here: line {first[key]} has it too")
            else:
                first[key] = line
                entries[key] = self.value(value_node, (*path, key), line, depth + 1)
        return entries

    def _scalar(self, node: yaml.ScalarNode, path: _Path, line: int) -> object:
        """The value of a scalar whose tag was resolved or written out."""
        text: str = node.value
        kind = node.tag.removeprefix(_TAG)
        if kind == "str" or node.tag == "!":
            return text
        if kind == "null" and text in {"", "~", "null", "Null", "NULL"}:
            return None
        if kind == "bool" and text.lower() in {"true", "false"}:
            return text.lower() == "true"
        try:
            if kind == "int" and len(text) <= _LONGEST_NUMBER:
                return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
            if kind == "float":
                return float(text.replace(".inf", "inf").replace(".nan", "nan"))
        except ValueError:
            pass
        self.unread.add(path)
        self._note(path, line, f"{text[:40]!r} cannot be read as {kind}")
        return None

    def _note(self, path: _Path, line: int, message: str) -> None:
        self.mistakes.append(LineMistake(line, Mistake(path, message).where, message))
