"""creditmeter's client: record what your API's requests used, ask what they cost, tell your callers.

from creditmeter_client import HttpTransport, Meter

meter = Meter(HttpTransport("http://127.0.0.1:8128", key="cm_live_…"))
meter.record(account_id="acme", endpoint="/v1/people", quantities={"results": 25})
"""

from creditmeter_client.errors import FieldMistake, MeterError, MeterUnavailable, NotSupported, RequestRefused
from creditmeter_client.http.transport import HttpTransport
from creditmeter_client.ids import new_id
from creditmeter_client.meter import Meter
from creditmeter_client.recording.backoff import BackoffPolicy
from creditmeter_client.results import (
    Counts,
    Decision,
    DecisionStatus,
    Delivery,
    DeliveryStatus,
    Estimate,
    Failure,
    Hold,
    HoldStatus,
    Line,
)
from creditmeter_client.settings import MeterSettings
from creditmeter_client.transport import EventTransport, HoldRequest, Questions
from creditmeter_client.usage import Event, Outcome, Refund, Usage

__version__ = "0.1.0"

__all__ = [
    "BackoffPolicy",
    "Counts",
    "Decision",
    "DecisionStatus",
    "Delivery",
    "DeliveryStatus",
    "Estimate",
    "Event",
    "EventTransport",
    "Failure",
    "FieldMistake",
    "Hold",
    "HoldRequest",
    "HoldStatus",
    "HttpTransport",
    "Line",
    "Meter",
    "MeterError",
    "MeterSettings",
    "MeterUnavailable",
    "NotSupported",
    "Outcome",
    "Questions",
    "Refund",
    "RequestRefused",
    "Usage",
    "new_id",
]
