from __future__ import annotations

import pytest

from tests.metering.meter import MachineMeter, NewMeter, OracleMeter


@pytest.fixture(params=[MachineMeter, OracleMeter], ids=["machine", "oracle"])
def meter(request: pytest.FixtureRequest) -> NewMeter:
    """`meter(book)` is a new meter with that book in force. Every rule is held against the machine and the oracle."""
    return request.param
