"""Checks of single values in a price book: each returns the value, or notes a mistake with its path and goes on.

All mistakes of a book are reported at once: so a check never raises, and returns None after noting a mistake.
"""

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TypeVar

from metering.book import Book
from metering.records import LAST_INSTANT, YEAR_2000
from metering.windows import parse_any_instant

Path = tuple[str | int, ...]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong at a place of a book, like `("versions", 0, "charges", 1, "credits")`."""

    path: Path
    message: str
    is_bound: bool = False
    """Whether the value is right but for a bound that earlier versions did not have."""

    @property
    def where(self) -> str:
        """The path as people write it: `versions[0].charges[1].credits`; empty for the whole book."""
        steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.path)
        return "".join(steps).removeprefix(".")

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.path else self.message


class UnusableBook(ValueError):
    """A price book that cannot be put in force.

    `book` is what it says where it only passes bounds that earlier versions did not have (times of the years 2000 to
    9999, windows of at most 36,500 d), else None: a state that such a version wrote may have it in force.
    """

    def __init__(self, text: str, book: Book | None = None) -> None:
        super().__init__(text)
        self.book = book


class PriceBookError(UnusableBook):
    """A price book that cannot be used; `mistakes` has everything that is wrong with it."""

    def __init__(self, mistakes: list[Mistake], book: Book | None = None) -> None:
        super().__init__("\n".join(map(str, mistakes)), book)
        self.mistakes = mistakes


class Checks:
    """Checks values one by one and keeps the mistakes found."""

    def __init__(self) -> None:
        self.mistakes: list[Mistake] = []

    def note(self, path: Path, message: str, *, is_bound: bool = False) -> None:
        self.mistakes.append(Mistake(path, message, is_bound))

    def mapping(
        self, value: object, path: Path, *, required: tuple[str, ...], optional: tuple[str, ...]
    ) -> dict[str, object]:
        """The known keys of a mapping and their values; notes keys that are unknown and keys that are missing."""
        entries = self.named_values(value, path)
        if entries is None:
            return {}
        known = required + optional
        for key in entries:
            if key not in known:
                close = get_close_matches(key, known, n=1)
                hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"
                self.note((*path, key), f"unknown key; {hint}")
        for key in required:
            if key not in entries:
                self.note((*path, key), "is missing")
        return {key: entry for key, entry in entries.items() if key in known}

    def named_values(self, value: object, path: Path) -> dict[str, object] | None:
        """A mapping whose keys are names; notes keys that are not strings and leaves them out."""
        if not isinstance(value, dict):
            self.note(path, f"must be a mapping of keys to values, not {shown(value)}")
            return None
        for key in value:
            if not isinstance(key, str):
                self.note((*path, str(key)), f"a key must be text, not {shown(key)}")
        return {key: entry for key, entry in value.items() if isinstance(key, str)}

    def items(self, value: object, path: Path) -> list[object]:
        """A list with at least one item."""
        if not isinstance(value, list):
            self.note(path, f"must be a list, not {shown(value)}")
            return []
        if not value:
            self.note(path, "must have at least one item")
        return value

    def text(self, value: object, path: Path, longest: int) -> str | None:
        """Text of 1 to `longest` characters."""
        if not isinstance(value, str):
            quotes = "; put it in quotes" if isinstance(value, int | float) else ""
            self.note(path, f"must be text, not {shown(value)}{quotes}")
        elif not value:
            self.note(path, "must not be empty")
        elif len(value) > longest:
            self.note(path, f"has {len(value)} characters; {longest} are the most")
        elif any("\ud800" <= character <= "\udfff" for character in value):
            self.note(path, "holds half of a surrogate pair, which is not a character")
        else:
            return value
        return None

    def parsed(self, value: object, path: Path, parse: Callable[[str], T]) -> T | None:
        """What `parse` makes of a text; its ValueError is the mistake."""
        if not isinstance(value, str):
            self.note(path, f"must be text, not {shown(value)}")
            return None
        try:
            return parse(value)
        except ValueError as error:
            self.note(path, str(error))
            return None

    def instant(self, value: object, path: Path) -> int | None:
        """Milliseconds since the epoch, from themselves or from an RFC 3339 time with its zone; years 2000 to 9999."""
        if isinstance(value, int) and not isinstance(value, bool):
            instant: int | None = value
            hint = " (it is read as milliseconds)"
        elif isinstance(value, str):
            instant, hint = self.parsed(value, path, parse_any_instant), ""
        else:
            self.note(path, f"must be a time like 2026-01-01T00:00:00Z or milliseconds, not {shown(value)}")
            return None
        if instant is not None and not YEAR_2000 <= instant <= LAST_INSTANT:
            is_bound = 0 <= instant <= LAST_INSTANT  # earlier versions began with the epoch
            self.note(path, f"{shown(value)} is outside the years 2000 to 9999{hint}", is_bound=is_bound)
        return instant

    def boolean(self, value: object, path: Path) -> bool:
        """True or false; false where the value is neither."""
        if not isinstance(value, bool):
            self.note(path, f"must be true or false, not {shown(value)}")
            return False
        return value

    def integer(self, value: object, path: Path, most: int) -> int | None:
        """A whole number from 0 to `most`; true and 2.0 are none."""
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
            self.note(path, f"must be a whole number from 0 to {most}, not {shown(value)}")
            return None
        return value


def shown(value: object) -> str:
    """A value as a message names it: short, and in the words of the file rather than of Python."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, int) and value.bit_length() > 256:
        return "a number of very many digits"  # which Python may refuse to write out
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
