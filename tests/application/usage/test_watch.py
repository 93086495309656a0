"""A store that goes away and comes back is seen to."""

from __future__ import annotations

from application.errors import ErrorCode, Failed
from application.usage.store import Row
from application.usage.watch import StoreWatch
from sinks.parameters import Parameters
from tests.application.contract import wait_until


class Switched:
    is_away = True

    def rows(self, _sql: str, _parameters: Parameters) -> list[Row]:
        if self.is_away:
            raise Failed("away", ErrorCode.UNAVAILABLE)
        return []


def test_a_store_that_comes_and_goes() -> None:
    store = Switched()
    watch = StoreWatch(store, 0.01)
    assert watch.problem() is not None
    watch.start()
    try:
        wait_until(lambda: watch.problem() == "away", "it is not seen to be away")
        store.is_away = False
        wait_until(lambda: watch.problem() is None, "it is not seen to be back")
        store.is_away = True
        wait_until(lambda: watch.problem() == "away", "it is not seen to be away again")
    finally:
        watch.close()
