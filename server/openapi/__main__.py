"""`python -m server.openapi`: makes the parts of docs/api.md again that are made from the OpenAPI document."""

from __future__ import annotations

from pathlib import Path

from server.api.table import OPERATIONS
from server.openapi.document import openapi_document
from server.openapi.markdown import renewed

PAGE = Path(__file__).parents[2] / "docs" / "api.md"


def main() -> None:
    """Write docs/api.md of this checkout."""
    PAGE.write_text(renewed(PAGE.read_text("utf-8"), openapi_document(OPERATIONS)), "utf-8")


if __name__ == "__main__":
    main()
