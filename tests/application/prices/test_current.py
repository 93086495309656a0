"""The book in force as a long-running process follows it."""

from pathlib import Path

import pytest

from application.errors import ErrorCode, Failed
from application.in_memory import in_memory_pipeline
from application.prices.current import CurrentBook
from application.prices.publishing import publish_book
from streams import clock
from tests.application.contract import BOOK

LATER = """\
  - version: "2099-01"
    effective_from: 2099-01-01T00:00:00Z
    charges:
      - {charge: ip-lookup, when: {endpoint: /v1/ip-lookup}, credits: 30}
"""


def test_the_newest_book_is_known_and_only_what_is_new_is_read(tmp_path: Path) -> None:
    pipeline = in_memory_pipeline(tmp_path)
    current = CurrentBook(pipeline)
    with pytest.raises(Failed) as raised:
        current.book()
    assert raised.value.code is ErrorCode.UNAVAILABLE
    current.look()
    with pytest.raises(Failed) as raised:
        current.book()
    assert raised.value.code is ErrorCode.CONFLICT
    publish_book(pipeline, BOOK, clock.now_ms())
    current.look()
    assert [version.version for version in current.book().versions] == ["2026-01"]
    current.look()
    assert len(current.book().versions) == 1
    publish_book(pipeline, BOOK + LATER, clock.now_ms())
    current.look()
    assert len(current.book().versions) == 2
