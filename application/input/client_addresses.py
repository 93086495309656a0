"""The client's address as logs write it: bare, with a port, in brackets, or as a list that proxies made."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

from metering.subjects import canonical_ip

_PORT = re.compile(r"[0-9]{1,5}")
# As browsers judge the last label of a host: with a number there it is an address, or nothing (WHATWG URL).
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_HOST_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?")
_NO_HOST = frozenset(("-", "unix:", "unknown", "localhost"))
_UNKNOWN = frozenset(("", "-", "unknown"))
_INTERNAL = tuple(
    ipaddress.ip_network(text)
    for text in (
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
        "::1/128", "fc00::/7", "fe80::/10",
    )
)  # fmt: skip


def client_address(text: str) -> str | None:
    """The address in `1.2.3.4`, `1.2.3.4:5678`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:5678`; else None."""
    if text.startswith("["):
        inside, _, rest = text[1:].partition("]")
        is_port = not rest or (rest[0] == ":" and _PORT.fullmatch(rest[1:]) is not None)
        return inside if is_port and ":" in inside and canonical_ip(inside) is not None else None
    if canonical_ip(text) is not None:
        return text
    address, _, port = text.rpartition(":")
    if ":" not in address and _PORT.fullmatch(port) and canonical_ip(address) is not None:
        return address
    return None


def is_host_name(text: str) -> bool:
    """Whether a client may be logged so: the name that its address has, or a word for a client without one."""
    if text in _NO_HOST:
        return True
    return _HOST_NAME.fullmatch(text) is not None and not _NUMBER.fullmatch(text.rstrip(".").rpartition(".")[2])


def listed_addresses(text: str) -> list[str] | None:
    """The addresses of an X-Forwarded-For list without what is unknown; None where something else stands in it."""
    addresses = []
    for item in text.split(","):
        stripped = item.strip()
        if stripped.lower() in _UNKNOWN:
            continue
        address = client_address(stripped)
        if address is None:
            return None
        addresses.append(address)
    return addresses


def client_of(addresses: Sequence[str]) -> str:
    """The client among the addresses of a list: the first that is not of an internal network, else the first.

    Proxies add what they see at the end. Internal are the private, shared, loopback and link-local networks.
    """
    return next((address for address in addresses if not _is_internal(address)), addresses[0])


def logged_client(seen: str | None, forwarded: str | None) -> tuple[str, str | None]:
    """The client as it was logged, and its address: what the server saw, else what the proxies before it say.

    `seen` may be a list, too. The address is None where a host's name, or a word for none, stands for it. Raises
    ValueError where neither says who called: no line is read with its address lost.
    """
    addresses = listed_addresses(seen or "")
    if seen is not None and addresses:
        return seen, client_of(addresses)
    if seen is not None and not is_host_name(seen):
        raise ValueError(f"{seen[:40]!r} is no address")
    addresses = listed_addresses(forwarded or "")
    if forwarded is not None and addresses:
        return forwarded, client_of(addresses)
    if seen is None:
        raise ValueError(
            "does not say who called" if forwarded is None else f"{forwarded[:40]!r} is no list of addresses"
        )
    return seen, None


def _is_internal(address: str) -> bool:
    parsed = ipaddress.ip_address(canonical_ip(address) or address)
    return any(parsed in network for network in _INTERNAL)
