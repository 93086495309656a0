"""One request for a page: who has signed in, what a form holds, what is preferred, and URLs of other pages."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cached_property
from urllib.parse import parse_qsl, urlencode
from zoneinfo import ZoneInfo

from application.access.access import Access
from application.access.sessions import Session, csrf_token
from application.usage.buckets import UnknownZone, zone_of
from server.api.call import Call
from server.api.paths import segment_of
from server.api.problems import Problem, ProblemType
from server.pages.cookies import TIME_ZONE, cookies_of

_FORM = "application/x-www-form-urlencoded"
_MOST_FIELDS = 200
_LONGEST_FORM = 64 << 10

Parameters = Mapping[str, str | Sequence[str] | None]
"""Of a URL: a text, several, or none."""


@dataclasses.dataclass
class PageCall(Call):
    """A request of a browser. `session` is None where nobody has signed in."""

    session: Session | None = None
    fields: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    """Of the form that was sent, each with its values."""

    @property
    def access(self) -> Access:
        """Who may do what. Raises Problem where this server manages none."""
        if self.parts.access is None:
            raise Problem(ProblemType.UNAVAILABLE, "this server manages no access, so that nobody can sign in")
        return self.parts.access

    @property
    def over_tls(self) -> bool:
        return self.parts.face.over_tls

    @property
    def address(self) -> str:
        """Whoever is connected: a proxy, where one stands before the server."""
        client = self.scope.get("client")
        return client[0] if client else ""

    @cached_property
    def cookies(self) -> dict[str, str]:
        return cookies_of(self.headers)

    @cached_property
    def csrf(self) -> str:
        """What a form of this session carries; nothing without one."""
        return "" if self.session is None else csrf_token(self.access, self.session)

    @cached_property
    def zone(self) -> ZoneInfo:
        """In which time zone times are shown and read: of the URL, else of the cookie, else UTC."""
        for name in (self.query.get("tz", [""])[-1], self.cookies.get(TIME_ZONE, "")):
            if name:
                try:
                    return zone_of(name)
                except UnknownZone:
                    continue
        return ZoneInfo("UTC")

    async def form(self) -> dict[str, list[str]]:
        """The form's fields, each with its values. Raises Problem."""
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        body = await self.body()
        if not body:
            return {}
        if kind != _FORM:
            raise Problem(ProblemType.UNSUPPORTED_MEDIA_TYPE, f"a form is {_FORM}")
        if len(body) > _LONGEST_FORM:
            raise Problem(ProblemType.TOO_LARGE, "a form is at most 64 KiB")
        try:
            pairs = parse_qsl(
                body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS
            )
        except ValueError as error:
            raise Problem(ProblemType.MALFORMED, "the form cannot be read") from error
        values: dict[str, list[str]] = {}
        for name, value in pairs:
            values.setdefault(name, []).append(value)
        return values

    def first(self, name: str) -> str:
        """The last value of a parameter, without spaces around it; empty where it is absent."""
        return self.query.get(name, [""])[-1].strip()

    def field(self, name: str) -> str:
        """The last value of the form's field, without spaces around it; empty where it is absent."""
        return self.fields.get(name, [""])[-1].strip()

    @property
    def account_path(self) -> str:
        """What the URLs of this account's pages begin with."""
        if self.account is None:
            raise Problem(ProblemType.NOT_FOUND, "name an account")
        return f"/accounts/{segment_of(self.account)}"

    def account_url(self, path: str = "", parameters: Parameters | None = None) -> str:
        """A page of this account: `history`, `events/e-1`."""
        return url_of(f"{self.account_path}/{path}" if path else self.account_path, parameters)

    def event_url(self, event_id: str) -> str:
        """The explanation of an event of this account."""
        return f"{self.account_path}/events/{segment_of(event_id)}"


def url_of(path: str, parameters: Parameters | None = None) -> str:
    """The path with those parameters that are given."""
    pairs: list[tuple[str, str]] = []
    for name, value in (parameters or {}).items():
        values = [] if value is None else [value] if isinstance(value, str) else value
        pairs += [(name, text) for text in values if text]
    return f"{path}?{urlencode(pairs)}" if pairs else path
