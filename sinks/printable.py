"""Text for people: what would act on a terminal is written out, what is secret in an address is masked."""

from __future__ import annotations

import re

MASK = "********"
_QUERY_VALUE = re.compile(r"([?&;][^=&;#\s]*=)[^&;#\s]+")
_ACTS_ON_TERMINALS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb]")


def visible(text: str) -> str:
    r"""The text with control characters and changes of direction written out, as in \x1b.

    An id, a path or a reason comes from whoever sent it, and must not act on the terminal of whoever looks.
    """
    return _ACTS_ON_TERMINALS.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def without_secrets(address: str) -> str:
    """An address as it may be printed: user info and the values of a query string are masked.

    ``http://name:word@host/?key=word`` becomes ``http://********@host/?key=********``. A password may hold ``/`` or
    ``@`` that nobody has escaped: all before the last ``@`` is masked. A path of this machine is left alone.
    """
    if "://" not in address:
        is_path = "/" in address
        return address if is_path else ",".join(map(_without_user, address.split(",")))
    scheme, _, rest = address.partition("://")
    place, mark, values = rest.partition("?")
    shown = _QUERY_VALUE.sub(rf"\1{MASK}", mark + values)
    return f"{scheme}://{_without_user(place)}{shown}"


def _without_user(place: str) -> str:
    return f"{MASK}@{place.rpartition('@')[2]}" if "@" in place else place
