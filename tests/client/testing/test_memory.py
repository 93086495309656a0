"""The in-memory transport keeps the contract of the others."""

from typing import Any

import pytest
from creditmeter_client.testing import MemoryTransport, Price

from tests.client.scripted import NOW
from tests.client.transport_contract import (
    EstimateContract,
    EventContract,
    HoldContract,
    QuestionContract,
    RefundContract,
)


class MemoryPlace:
    def __init__(self) -> None:
        self.transport = self.questions = MemoryTransport(
            {
                "/v1/ip-lookup": Price(20, charge="ip-lookup", unique=("ip",)),
                "/v1/search": Price(2, per="results", charge="records"),
            }
        )

    def arrived(self, account_id: str) -> list[str]:
        return [event.event_id for event in self.transport.events if event.account_id == account_id]

    def now_ms(self) -> int:
        return NOW

    def grant(self, account_id: str, credits_: int) -> None:
        self.transport.grant(account_id, credits_)


@pytest.fixture(name="place")
def memory_place() -> Any:
    return MemoryPlace()


@pytest.fixture(name="asked")
def memory_asked() -> Any:
    return MemoryPlace()


class TestEvents(EventContract): ...


class TestRefunds(RefundContract): ...


class TestQuestions(QuestionContract): ...


class TestHolds(HoldContract): ...


class TestEstimates(EstimateContract): ...
