r"""Parses a line of a web server's access log: Common or Combined format, also with a virtual host before it.

    host ident user [17/May/2015:10:05:03 +0000] "GET /path HTTP/1.1" 200 1234 "referer" "agent"
    site:443 host ident user [17/May/2015:10:05:03 +0000] "GET /path HTTP/1.1" 200 1234 "referer" "agent"

The host may have a port, and may be the list of a proxy's X-Forwarded-For, bare or quoted, with the proxy's own address
behind it. Fields that a server was set up to add after the agent are ignored. Anything else before the time is
refused: a request without its address would be worse than none. Bytes that are not UTF-8 are kept as `\xe9`, the
way servers themselves write what they cannot print. Every expression here is anchored or bounded, and linear.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from application.input.client_addresses import client_address, client_of, is_host_name, listed_addresses
from application.input.logged_request import (
    LoggedRequest,
    NotALogLineError,
    refuse_zero_bytes,
    request_parts,
    size_of,
    status_of,
)
from application.input.times import server_time

_TIME = re.compile(r' \[([^\[\]"]*+)\] (?=")')
_QUOTED = r'"((?:[^"\\]++|\\.)*+)"'
_REST = re.compile(rf"{_QUOTED} (\S++) (\S++)(?: {_QUOTED} {_QUOTED}(?P<more>.*+)?)?", re.DOTALL)
_IN_QUOTES = re.compile(r'"(?:[^"\\]++|\\.)*+(?:(")|\\?\Z)', re.DOTALL)
_ESCAPE = re.compile(r'\\(["\\])')
_INGRESS = re.compile(r"- \[([^\[\]]*+)\] - (.++)", re.DOTALL)
_SITE = re.compile(r"(?:[A-Za-z0-9_*~-][A-Za-z0-9_.*~-]*+|\[[0-9A-Fa-f:.]++\])(?::[0-9]{1,5})?")
_LONGEST_HEAD = 4_096
_LONGEST_USER = 256
_SHOWN = 80


class _Client(NamedTuple):
    """Who called, and what stands after it before the time."""

    host: str | None
    address: str | None
    forwarded: str | None
    rest: str


class Head(NamedTuple):
    """What stands before the time."""

    site: str | None
    host: str | None
    address: str | None
    forwarded: str | None
    user: str | None


_HeadParser = Callable[[str], Head]


def parse_line(text: str) -> LoggedRequest:
    """The parts of a line in any of the formats of this module. Raises NotALogLineError."""
    return _parsed(text, "Common or Combined", _any_head)


def parse_common(text: str) -> LoggedRequest:
    """The parts of a line in Common format. Raises NotALogLineError."""
    return _parsed(text, "Common", _plain_head, agents=False)


def parse_combined(text: str) -> LoggedRequest:
    """The parts of a line in Combined format. Raises NotALogLineError."""
    return _parsed(text, "Combined", _plain_head, agents=True)


def parse_vhost(text: str) -> LoggedRequest:
    """The parts of a line in Common or Combined format with the virtual host before it. Raises NotALogLineError."""
    return _parsed(text, "virtual host", _site_head)


def _parsed(text: str, name: str, head_of: _HeadParser, *, agents: bool | None = None) -> LoggedRequest:
    time = _TIME.search(text)
    rest = None if time is None else _REST.fullmatch(text, time.end())
    if time is None or rest is None:
        raise NotALogLineError(f"is not in {name} format, or is cut short")
    quoted_request, status, size, referer, agent, more = rest.groups()
    if more:
        _check_more(more)
    if (more and more[0] != " ") or (agents is not None and agents == (agent is None)):
        raise NotALogLineError(f"is not in {name} format, or is cut short")
    request = unescaped(quoted_request)
    method, target, protocol = request_parts(request or "")
    refuse_zero_bytes(text, request, method)
    head = head_of(text[: time.start()])
    try:
        at = server_time(time[1])
    except ValueError as error:
        raise NotALogLineError(str(error)) from error
    return LoggedRequest(
        host=head.host,
        address=head.address,
        at=at,
        request=request,
        method=method,
        target=target,
        protocol=protocol,
        status=status_of(status),
        size=size_of(size),
        user=head.user,
        referer=unescaped(referer),
        agent=unescaped(agent),
        site=head.site,
        forwarded=head.forwarded,
    )


def _check_more(more: str) -> None:
    """Raises NotALogLineError where what follows the agent is another line, perhaps behind a torn field.

    Only what stands outside of quotes is looked at: inside, a client may have written anything.
    """
    quoted = list(_IN_QUOTES.finditer(more))
    if quoted and quoted[-1][1] is None:
        raise NotALogLineError("has a quote behind the agent that is not closed")
    if _TIME.search(_IN_QUOTES.sub('""', more)):
        raise NotALogLineError("holds a second request: the line end before it is missing")


def unescaped(text: str | None) -> str | None:
    """A field's text with quotes and backslashes unescaped; None for `-`, for nothing, and for a missing field."""
    return None if text in (None, "", "-") else _ESCAPE.sub(r"\1", text or "")


def is_user(text: str) -> bool:
    """Whether a text may be a user's name or `-`: with a lone `-` or an address in it, it is more than one field."""
    if not text.strip() or len(text) > _LONGEST_USER:
        return False
    return text == "-" or not any(part == "-" or part.startswith("[") or _is_address(part) for part in text.split(" "))


def _is_address(text: str) -> bool:
    """Whether a field is an address, perhaps one of a list or in quotes."""
    return client_address(text.strip("\"',;()<>")) is not None


def _any_head(head: str) -> Head:
    """A client and its user; or first a site, which is recognised by its dot or port, and then both."""
    recognised = _client_and_user(head)
    if recognised is not None:
        return recognised
    site, _, rest = head.partition(" ")
    if _is_site(site):
        behind = _client_and_user(rest, named=":" in site)
        if behind is not None:
            return behind._replace(site=None if site in {"-", "_"} else site)
    raise _unknown_head(head)


def _is_site(text: str) -> bool:
    """Whether a field is surely a virtual host: a name with a dot or a port, or a server's word for none."""
    name = text.partition(":")[0]
    if text in {"-", "_", "localhost"}:
        return True
    return _SITE.fullmatch(text) is not None and is_host_name(name) and ("." in name or name != text)


def _plain_head(head: str) -> Head:
    recognised = _client_and_user(head)
    if recognised is None:
        raise _unknown_head(head)
    return recognised


def _site_head(head: str) -> Head:
    site, _, rest = head.partition(" ")
    recognised = _client_and_user(rest) if _SITE.fullmatch(site) else None
    if recognised is None:
        raise NotALogLineError(f"has not site, host, ident and user before the time: {_cut(head)}")
    return recognised._replace(site=site)


def _unknown_head(head: str) -> NotALogLineError:
    advice = _advice(head)
    more = "" if advice is None else f" ({advice})"
    return NotALogLineError(f"has before the time not what Common format has, host, ident and user: {_cut(head)}{more}")


def _advice(head: str) -> str | None:
    """How to leave away what a tool put before the line; None where it is none that is known."""
    if head.startswith("[pod/"):
        return "leave the name of its pod away: kubectl logs without --prefix"
    if " | " in head[:_SHOWN]:
        return "leave the name of its container away: docker compose logs --no-log-prefix"
    name, _, rest = head[:_SHOWN].partition(" ")[0].partition(":")
    if client_address(rest) is None and client_address(rest.partition(":")[2]) is None:
        return None
    if name.isdigit():
        return "leave its number away: grep without -n"
    return "leave the name of its file away: grep -h"


def _cut(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")


def _client_and_user(head: str, *, named: bool = True) -> Head | None:
    """`host ident user`; None where the head is something else. `named` also takes a host that is no address."""
    if len(head) > _LONGEST_HEAD:
        return None
    client = _client(head, named=named)
    if client is None:
        return None
    user = _user(client.rest)
    return None if user is None else Head(None, client.host, client.address, client.forwarded, unescaped(user))


def _client(head: str, *, named: bool) -> _Client | None:
    if head.startswith('"'):
        listed, _, rest = head[1:].partition('" ')
        return _behind_proxies(listed, rest)
    first, _, rest = head.partition(" ")
    if "," in first:
        while first.endswith(",") and rest:
            item, _, rest = rest.partition(" ")
            first = f"{first} {item}"
        return _behind_proxies(first, rest)
    address = client_address(first)
    if address is not None:
        return _Client(first, address, None, rest)
    return _Client(first, None, None, rest) if named and is_host_name(first) else None


def _behind_proxies(listed: str, rest: str) -> _Client | None:
    """The client of a list, or, of an empty one, the proxy that stands behind it."""
    addresses = listed_addresses(listed)
    if addresses is None:
        return None
    first, _, after = rest.partition(" ")
    peer = client_address(first)
    rest = rest if peer is None else after
    if addresses:
        return _Client(listed, client_of(addresses), listed, rest)
    return None if peer is None else _Client(first, peer, None, rest)


def _user(rest: str) -> str | None:
    """The user of `ident user`; None where it is something else.

    A user may hold spaces only where there is no ident. nginx's ingress (before 0.23) writes the address once more.
    """
    ingress = _INGRESS.fullmatch(rest)
    if ingress is not None and listed_addresses(ingress[1]):
        rest = f"- {ingress[2]}"
    ident, _, user = rest.partition(" ")
    if not ident or _is_address(ident) or not is_user(user) or (ident != "-" and " " in user):
        return None
    return "-" if user == '""' else user
