"""Subjects in the one spelling in which they are compared: an address and a company's domain.

Lines keep the spelling that the event had; only claims use the canonical one. Nothing here looks anything up: a domain
is judged by its letters alone. No string makes these functions raise.
"""

import ipaddress
import re
from functools import lru_cache

LONGEST_DOMAIN = 253
# No subject of an event is longer, so nothing longer is worth parsing or remembering.
_LONGEST_TEXT = 256
_REMEMBERED = 65_536

_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_is_plain_ipv4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}").fullmatch

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_is_plain_domain = re.compile(rf"(?:{_LABEL}\.)+(?![0-9]+\Z){_LABEL}").fullmatch


def canonical_ip(text: str) -> str | None:
    """The address as claims compare it (IPv6 compressed, an IPv4-mapped one as IPv4), or None if it is not one.

    An IPv6 scope (`fe80::1%eth0`) stays as it was written: the same address on two links is two addresses.
    """
    if _is_plain_ipv4(text):
        return text
    if len(text) > _LONGEST_TEXT:
        return None
    return _parsed_ip(text)


@lru_cache(maxsize=_REMEMBERED)
def _parsed_ip(text: str) -> str | None:
    try:
        # A scope may hold any character; one that UTF-8 cannot write could be neither stored nor sent.
        text.encode()
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)


def canonical_domain(text: str) -> str | None:
    """The domain as claims compare it, or None if it is not one.

    Lower-cased, IDNA-encoded (IDNA 2003, the standard library's codec), without its one trailing dot, and without one
    leading `www.` where two labels remain. A domain has at least two labels of 1-63 letters, digits, underscores or
    inner hyphens, 253 characters at most before `www.` is dropped, and a last label that is not all digits.
    """
    if _is_plain_domain(text) and len(text) <= LONGEST_DOMAIN:
        return _without_www(text)
    if len(text) > _LONGEST_TEXT:
        return None
    return _encoded_domain(text)


@lru_cache(maxsize=_REMEMBERED)
def _encoded_domain(text: str) -> str | None:
    try:
        encoded = text.lower().encode("idna").decode("ascii").lower()
    except UnicodeError:
        return None
    # Other scripts' full stops are plain dots only after encoding, so the trailing one is dropped here.
    name = encoded.removesuffix(".")
    if len(name) > LONGEST_DOMAIN or not _is_plain_domain(name):
        return None
    return _without_www(name)


def _without_www(name: str) -> str:
    if name.startswith("www.") and "." in name[4:]:
        return name[4:]
    return name
