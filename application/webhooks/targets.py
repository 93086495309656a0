"""Which addresses a webhook may be sent to (SERVER 4): public ones over https, so that none reaches an inner network.

A name is looked up once for each try, every address that comes of it is checked, and the connection goes to one of
those very addresses: what the name says a moment later changes nothing.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

Address = IPv4Address | IPv6Address

_NOT_FOR_WEBHOOKS = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
    )
)  # fmt: skip
"""IANA's special-purpose blocks: this network, private, shared, loopback, link-local (metadata services among them),
protocol assignments, documentation, anycast services, benchmarks, multicast, reserved and broadcast."""
_PUBLIC_IPV6 = IPv6Network("2000::/3")
_NOT_FOR_WEBHOOKS_IPV6 = tuple(
    IPv6Network(text)
    for text in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20", "3ffe::/16")
)
"""Within the public block: protocol assignments (Teredo, ORCHID), documentation, 6to4, AS112, the former 6bone."""
_NAT64 = IPv6Network("64:ff9b::/96")
"""Where a network has IPv6 alone, its gateway to IPv4: the last 32 bits are the address that is reached."""
_MOST_ADDRESSES = 16


class Refused(Exception):
    """A target that nothing is sent to; the message says why and is shown to the webhook's owner."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where one try goes. `authority` is the Host header; `path` has the query."""

    is_https: bool
    host: str
    port: int
    authority: str
    path: str


@dataclass(frozen=True, slots=True)
class TargetRules:
    """What is allowed. `allow_http_to_this_machine`: http and loopback addresses, for trials on one machine.

    `tls`: how https is checked; None: against the system's authorities.
    """

    allow_http_to_this_machine: bool = False
    tls: ssl.SSLContext | None = None


def target_of(url: str, rules: TargetRules) -> Target:
    """The parts of a webhook's address. Raises Refused where the scheme or host cannot be right."""
    try:
        parts = urlsplit(url)
        port = parts.port
        host = parts.hostname
    except ValueError as error:
        raise Refused("the address cannot be read") from error
    if not host or parts.username is not None or parts.password is not None:
        raise Refused("the address has no host, or a user name in it")
    if parts.scheme != "https" and not (parts.scheme == "http" and rules.allow_http_to_this_machine):
        raise Refused("only https is allowed")
    is_https = parts.scheme == "https"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    shown = f"[{host}]" if ":" in host else host
    authority = shown if port is None else f"{shown}:{port}"
    return Target(is_https, host, port or (443 if is_https else 80), authority, path)


def checked(addresses: Sequence[str], target: Target, rules: TargetRules) -> list[Address]:
    """The addresses that a host stands for, every one of which may be reached. Raises Refused where one may not.

    `addresses` are those that the resolver gave, in numbers: however the host is spelled (decimal, octal, a name), what
    counts is where the connection would go. Plain http goes to this machine alone.
    """
    if not addresses:
        raise Refused("the host has no address")
    numbers = [_number(text) for text in dict.fromkeys(addresses)][:_MOST_ADDRESSES]
    for number in numbers:
        if number.is_loopback and rules.allow_http_to_this_machine:
            continue
        if not target.is_https:
            raise Refused("http is allowed to this machine alone")
        if not is_public(number):
            raise Refused("the host is in a private or reserved network")
    return numbers


def is_public(address: Address) -> bool:
    """Whether an address is one of the public Internet. One that stands for an IPv4 address (mapped, 6to4) is not."""
    if isinstance(address, IPv6Address) and address in _NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_FOR_WEBHOOKS)
    return address in _PUBLIC_IPV6 and not any(address in network for network in _NOT_FOR_WEBHOOKS_IPV6)


def _number(text: str) -> Address:
    try:
        return ip_address(text.partition("%")[0])
    except ValueError as error:
        raise Refused("the host has an address that cannot be read") from error
