"""Charts of lines: an amount by day, and what it is expected to become."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from server.pages.charts import HEIGHT, WIDTH, round_up


@dataclass(frozen=True, slots=True)
class Line:
    """`values` by place of the axis, None where the line is not."""

    name: str
    colour: int
    values: list[int | None]
    is_expected: bool = False


@dataclass(frozen=True, slots=True)
class LineChart:
    """The labels of the axis, and the lines over it."""

    labels: list[str]
    lines: list[Line]

    @property
    def top(self) -> int:
        """Where the axis ends: a round number."""
        return round_up(max((value for line in self.lines for value in line.values if value is not None), default=0))

    def rows(self) -> Iterable[tuple[str, list[int | None]]]:
        """For the table of the chart."""
        for at, label in enumerate(self.labels):
            yield label, [line.values[at] for line in self.lines]

    def polylines(self) -> list[tuple[Line, str]]:
        """Each line's points in a drawing of WIDTH by HEIGHT."""
        step = WIDTH / max(1, len(self.labels) - 1)
        drawn = []
        for line in self.lines:
            places = [(at, value) for at, value in enumerate(line.values) if value is not None]
            points = (
                f"{at * step:.1f},{HEIGHT - HEIGHT * max(value, 0) / max(self.top, 1):.1f}" for at, value in places
            )
            drawn.append((line, " ".join(points)))
        return drawn

    def as_plain(self) -> dict[str, object]:
        """What the script draws."""
        return {
            "lines": True, "labels": self.labels,
            "series": [
                {"name": line.name, "colour": line.colour, "values": line.values, "dashed": line.is_expected}
                for line in self.lines
            ],
        }  # fmt: skip
