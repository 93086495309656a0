"""The columns of the History table: which are shown, and which stay in place when it is scrolled sideways."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from starlette.responses import Response

from server.pages.cookies import COLUMNS
from server.pages.page_call import PageCall

_SEPARATOR, _FROZEN = ".", "*"


@dataclass(frozen=True, slots=True)
class Column:
    """`name`: the row's field. `width`: in the stylesheet's units, the same with and without freezing."""

    name: str
    label: str
    width: int
    is_number: bool = False


ALL = (
    Column("date", "Date", 11),
    Column("feature", "Feature", 9),
    Column("action", "Action", 10),
    Column("description", "Description", 17),
    Column("credits", "Credits", 6, is_number=True),
    Column("data_requested", "Data requested", 10),
    Column("user", "User", 9),
    Column("decision", "Decision", 8),
    Column("endpoint", "Endpoint", 13),
    Column("channel", "Channel", 6),
    Column("outcome", "Outcome", 7),
    Column("credit_type", "Credit type", 7),
    Column("units", "Units", 5, is_number=True),
    Column("unit_credits", "Credits a unit", 8, is_number=True),
    Column("balance_after", "Balance after", 8, is_number=True),
    Column("charge", "Charge", 9),
    Column("price_version", "Price version", 8),
    Column("plan", "Plan", 6),
    Column("event_id", "Event", 13),
    Column("request_id", "Request", 13),
    Column("owner_event_id", "Paid by event", 13),
    Column("window_ends_at", "Free until", 11),
    Column("user_id", "User id", 11),
    Column("ip", "IP address", 9),
    Column("domain", "Domain", 11),
    Column("quantities", "Quantities", 12),
    Column("attributes", "Attributes", 16),
    Column("hold_id", "Hold", 11),
    Column("refund_id", "Refund", 11),
    Column("reason", "Reason", 14),
)
BY_NAME = {column.name: column for column in ALL}
DEFAULT = ("date", "feature", "action", "description", "credits", "data_requested", "user")


@dataclass(frozen=True, slots=True)
class ShownColumns:
    """In the table's order: frozen ones first. `names` as a URL and a cookie have them: `date*.feature.credits`."""

    columns: tuple[Column, ...]
    frozen: frozenset[str]

    @property
    def names(self) -> str:
        return _SEPARATOR.join(
            f"{column.name}{_FROZEN if column.name in self.frozen else ''}" for column in self.columns
        )

    @property
    def is_default(self) -> bool:
        return tuple(column.name for column in self.columns) == DEFAULT and not self.frozen

    def shows(self, name: str) -> bool:
        return any(column.name == name for column in self.columns)

    @property
    def frozen_names(self) -> list[str]:
        return [column.name for column in self.columns if column.name in self.frozen]


def columns_of(call: PageCall) -> ShownColumns:
    """As the form chooses (`show`, `freeze`), else the URL's `columns`, else the cookie's, else the usual ones."""
    if "show" in call.query or "freeze" in call.query:
        return _chosen(call.query.get("show", ()), call.query.get("freeze", ()))
    text = call.first("columns") or call.cookies.get(COLUMNS, "")
    if text:
        names = text.split(_SEPARATOR)
        return _chosen([name.rstrip(_FROZEN) for name in names], [name[:-1] for name in names if name[-1:] == _FROZEN])
    return _chosen(DEFAULT, ())


def _chosen(show: Iterable[str], freeze: Iterable[str]) -> ShownColumns:
    shown, frozen = set(show) | set(freeze), frozenset(freeze) & BY_NAME.keys()
    columns = [column for column in ALL if column.name in shown] or [BY_NAME[name] for name in DEFAULT]
    return ShownColumns(tuple(sorted(columns, key=lambda column: column.name not in frozen)), frozen)


async def get_frozen_style(call: PageCall) -> Response:
    """A stylesheet that keeps columns in place: each begins where those before it end.

    On narrow screens only the first stays, so that there is room for the others.
    """
    columns = [BY_NAME[name] for name in call.ids["names"].removesuffix(".css").split(_SEPARATOR) if name in BY_NAME]
    lines, left = [], 0
    for number, column in enumerate(dict.fromkeys(columns)):
        width = f"width:{column.width}rem;min-width:{column.width}rem;max-width:{column.width}rem"
        rule = f".c-{column.name}{{position:sticky;left:{left}rem;{width};z-index:1}}"
        lines.append(rule if number == 0 else f"@media (min-width:48rem){{{rule}}}")
        left += column.width
    headers = {"cache-control": "public, max-age=86400"}
    return Response("\n".join(lines).encode(), 200, headers, "text/css; charset=utf-8")
