"""How far ClickHouse has loaded the outputs, watched for those who wait: one question at a time, whoever waits."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from application.errors import Failed
from application.usage.store import UsageStore
from streams.loading.positions import TABLE
from streams.log.topics import TopicNames

_POSITIONS = f"SELECT topic, log_partition, source_offset FROM {TABLE} FINAL WHERE topic IN {{topics:Array(String)}}"
_FIRST, _LONGEST = 0.02, 0.25
"""Seconds between two questions: they grow while nothing that is waited for comes."""

Reached = Mapping[tuple[str, int], int]
"""By topic and partition, the last input offset all of whose outputs of that topic are loaded."""


class LoadedWatch:
    """Asks the store for its positions while somebody waits. Belongs to one event loop."""

    def __init__(self, store: UsageStore, names: TopicNames) -> None:
        self._store = store
        self._topics = names.loaded
        self._asking: asyncio.Task[Reached] | None = None

    async def reached(self) -> Reached:
        """How far the store is now; those who ask at the same time share an answer. Raises Failed."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(asyncio.to_thread(self._ask))
        return await asyncio.shield(self._asking)

    async def wait(self, topic: str, partition: int, offset: int) -> None:
        """Return once the outputs of this input message in the topic are loaded, however long it takes.

        A store that does not answer now is asked again. Cancel it to give up.
        """
        pause = _FIRST
        while True:
            try:
                if (await self.reached()).get((topic, partition), -1) >= offset:
                    return
            except Failed:
                pause = _LONGEST
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST)

    def _ask(self) -> Reached:
        rows = self._store.rows(_POSITIONS, {"topics": list(self._topics)})
        return {(row["topic"], int(row["log_partition"])): int(row["source_offset"]) for row in rows}
