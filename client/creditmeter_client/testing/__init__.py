"""An in-memory meter for tests of applications: the real `Meter`, and a log in this process behind it.

transport = MemoryTransport({"/v1/people": Price(credits=1, per="results")}, {"acme": {"credit": 100}})
meter = Meter(transport)
"""

from creditmeter_client.testing.memory import MemoryTransport, Price

__all__ = ["MemoryTransport", "Price"]
