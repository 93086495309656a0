"""Text for a terminal: what would act on it is written out."""

from __future__ import annotations

import re

_ACTS_ON_TERMINALS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb]")


def visible(text: str) -> str:
    r"""The text with control characters and changes of direction written out, as in \x1b.

    An id, a path or a reason comes from whoever sent it, and must not act on the terminal of whoever looks.
    """
    return _ACTS_ON_TERMINALS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
