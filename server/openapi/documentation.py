"""The document and its page as they are served: made once a process, when they are first asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec

from server.api.routing import Operation
from server.openapi.document import openapi_document
from server.openapi.page import STYLE, page_of


@dataclass
class Documentation:
    """What there is to read about these operations."""

    operations: Sequence[Operation] = ()

    @cached_property
    def document(self) -> dict[str, Any]:
        """The OpenAPI document. Treat it as frozen."""
        return openapi_document(self.operations)

    @cached_property
    def json(self) -> bytes:
        """The document as it is sent."""
        return msgspec.json.encode(self.document)

    @cached_property
    def page(self) -> bytes:
        """The page for people, in HTML."""
        return page_of(self.document).encode()

    @property
    def style(self) -> bytes:
        """The page's style sheet."""
        return STYLE.encode()
