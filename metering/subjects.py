"""Subjects in the one spelling in which they are compared: an address and a company's domain.

Lines keep the spelling that the event had; only claims use the canonical one. Nothing here looks anything up: a domain
is judged by its letters alone. No string makes these functions raise.

Which spellings of a domain are one follows Unicode's tables as the installed `idna` has them: they only grow, but all
workers of a pipeline should have the same version of it (constraints.txt pins one).
"""

import ipaddress
import re
from functools import lru_cache
from typing import Final

from idna import uts46_remap
from mypy_extensions import i64

LONGEST_DOMAIN: Final = 253
# No subject of an event is longer, so nothing longer is worth parsing or remembering.
_LONGEST_TEXT: Final = 256
_REMEMBERED = 65_536
_ZERO: Final = 48
_DOT: Final = -2
"""The dot, counted from the digit 0 as the digits are."""

_PUNYCODE: Final = "xn--"
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_is_plain_domain: Final = re.compile(rf"(?:{_LABEL}\.)+(?![0-9]+\Z){_LABEL}").fullmatch


def canonical_ip(text: str) -> str | None:
    """The address as claims compare it (IPv6 compressed, an IPv4-mapped one as IPv4), or None if it is not one.

    An IPv6 scope (`fe80::1%eth0`) stays as it was written: the same address on two links is two addresses.
    """
    if _is_plain_ipv4(text):
        return text
    if len(text) > _LONGEST_TEXT:
        return None
    return _parsed_ip(text)


def _is_plain_ipv4(text: str) -> bool:
    """Whether the text is four numbers of 0 to 255, without further zeros before them, with dots in between."""
    if not 7 <= len(text) <= 15:
        return False
    dots: i64 = 0
    number: i64 = -1  # none of its digits has come
    for at in range(len(text)):
        digit: i64 = ord(text[at]) - _ZERO
        if digit == _DOT and number >= 0:
            dots += 1
            number = -1
        elif 0 <= digit <= 9 and number != 0:
            number = digit if number < 0 else 10 * number + digit
            if number > 255:
                return False
        else:
            return False
    return dots == 3 and number >= 0


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

    Mapped as browsers do (UTS #46, non-transitional: `straße.de` is not `strasse.de`; SPEC 3), labels in other letters
    as Punycode, without its one trailing dot, and without one leading `www.` where two labels remain. A domain has at
    least two labels of 1-63 letters, digits, underscores or inner hyphens, 253 characters at most before `www.` is
    dropped, and a last label that is not all digits. A label that begins with `xn--` is the Punycode of a mapped one.
    """
    if _is_plain_domain(text) and len(text) <= LONGEST_DOMAIN and _PUNYCODE not in text:
        return _without_www(text)
    if len(text) > _LONGEST_TEXT:
        return None
    return _mapped_domain(text)


@lru_cache(maxsize=_REMEMBERED)
def _mapped_domain(text: str) -> str | None:
    try:
        # Underscores are letters of ours, so not the host names' narrower rules: `_is_plain_domain` judges the letters.
        labels = uts46_remap(text, std3_rules=False).split(".")
        name = ".".join(map(_ascii_label, labels)).removesuffix(".")
    except ValueError:
        return None
    if len(name) > LONGEST_DOMAIN or not _is_plain_domain(name):
        return None
    return _without_www(name)


def _ascii_label(label: str) -> str:
    """A mapped label in ASCII. Raises ValueError for an `xn--` label that is not the Punycode of a mapped one."""
    if label.startswith(_PUNYCODE):
        decoded = label.removeprefix(_PUNYCODE).encode("ascii").decode("punycode")
        # Python decodes a label with a hyphen too many as well: it must be what encoding gives back.
        if decoded.isascii() or uts46_remap(decoded, std3_rules=False) != decoded or _punycode(decoded) != label:
            raise ValueError(f"{label!r} stands for no label of a domain")
        return label
    return label if label.isascii() else _punycode(label)


def _punycode(label: str) -> str:
    return _PUNYCODE + label.encode("punycode").decode("ascii")


def _without_www(name: str) -> str:
    if name.startswith("www.") and "." in name[4:]:
        return name[4:]
    return name
