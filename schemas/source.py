"""Builds the source text of the functions that `writing` and `reading` compile: lines, indentation, new variables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any


class Source:
    """The body of one function. ``signature`` is what stands after ``def``; ``names`` are the globals that it sees.

    ``checks_integers``: the function is to refuse True and False where an integer stands.
    """

    def __init__(self, signature: str, names: Mapping[str, Any], *, checks_integers: bool = False) -> None:
        self.checks_integers = checks_integers
        self._signature = signature
        self._names = dict(names)
        self._lines: list[str] = []
        self._depth = 1
        self._made = 0

    def line(self, text: str) -> None:
        self._lines.append(" " * self._depth + text)

    @contextmanager
    def indented(self) -> Iterator[None]:
        self._depth += 1
        yield
        self._depth -= 1

    def variable(self) -> str:
        """A local name that nothing else uses."""
        self._made += 1
        return f"v{self._made}"

    def constant(self, value: Any) -> str:
        """A global name that stands for ``value``."""
        self._made += 1
        name = f"c{self._made}"
        self._names[name] = value
        return name

    def compile(self) -> Any:
        """The function. Only names of fields, as literals, come from outside: nothing of a message is ever run."""
        text = "\n".join([f"def {self._signature}:", *self._lines])
        exec(compile(text, f"<schemas: {self._signature}>", "exec"), self._names)  # noqa: S102 - as a dataclass does
        return self._names[self._signature.partition("(")[0]]


def kind_of(schema: Any) -> str:
    """``union``, or the type's name: logical types and other properties do not change what is on the wire."""
    if isinstance(schema, list):
        return "union"
    if isinstance(schema, dict):
        return str(schema["type"]) if isinstance(schema["type"], str) else kind_of(schema["type"])
    return str(schema)
