"""What the server's JSON means: deliveries, decisions, holds, problems."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any

from creditmeter_client.errors import FieldMistake, MeterError, MeterUnavailable, RequestRefused
from creditmeter_client.http.connections import Answer
from creditmeter_client.results import (
    Decision,
    DecisionStatus,
    Delivery,
    DeliveryStatus,
    Estimate,
    Hold,
    HoldStatus,
    Line,
)

_HOLD_STATUSES = {status.value: status for status in HoldStatus}
_OK = 200
_ACCEPTED = 202
_PAYMENT_REQUIRED = 402
_TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


def document_of(answer: Answer) -> dict[str, Any]:
    """The JSON object of an answer; an empty one for anything else, such as a proxy's page."""
    try:
        document = json.loads(answer.body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def error_of(answer: Answer) -> MeterError:
    """The error for an answer that is none of those expected."""
    document = document_of(answer)
    detail = str(document.get("detail") or document.get("title") or answer.body[:200].decode("utf-8", "replace"))
    if answer.status in _TRY_AGAIN:
        return MeterUnavailable(f"{answer.status} {detail}", _retry_after(answer.headers))
    return RequestRefused(answer.status, detail, mistakes_of(document))


def mistakes_of(document: Mapping[str, Any]) -> tuple[FieldMistake, ...]:
    errors = document.get("errors")
    if not isinstance(errors, list):
        return ()
    return tuple(
        FieldMistake(str(error.get("pointer", "")), str(error.get("detail", "")))
        for error in errors
        if isinstance(error, dict)
    )


def results_of(answer: Answer, ids: Sequence[str]) -> list[dict[str, Any]]:
    """The results of POST /v1/events, one for each of the ids. Raises MeterUnavailable or RequestRefused without."""
    results = document_of(answer).get("results")
    if isinstance(results, list) and len(results) == len(ids) and all(isinstance(result, dict) for result in results):
        return results
    if answer.status == _OK:
        raise MeterUnavailable(f"the answer to {len(ids)} events is not one of creditmeter's")
    raise error_of(answer)


def delivery_of(result: Mapping[str, Any]) -> Delivery:
    receipt = result.get("receipt")
    if result.get("status") == "stored" or isinstance(receipt, str):
        return Delivery(DeliveryStatus.STORED, receipt)
    if result.get("status") == "invalid":
        return Delivery(DeliveryStatus.INVALID, mistakes=mistakes_of(result))
    return Delivery(DeliveryStatus.UNKNOWN)


def decision_of(event_id: str, result: Mapping[str, Any]) -> Decision:
    """The decision in a result of POST /v1/events; `pending`, without receipt where nothing is known of the event."""
    delivery = delivery_of(result)
    if delivery.status is DeliveryStatus.INVALID:
        return Decision(event_id, DecisionStatus.INVALID, mistakes=delivery.mistakes)
    if delivery.status is DeliveryStatus.UNKNOWN:
        return Decision(event_id, DecisionStatus.PENDING)
    receipt = delivery.receipt or "stored"
    decision = result.get("decision")
    decision = decision if isinstance(decision, dict) else {}
    status = decision.get("status")
    if status == "decided":
        return Decision(event_id, DecisionStatus.DECIDED, _lines(decision), receipt)
    if status == "repeated":
        first = decision.get("first")
        if isinstance(first, dict):
            return Decision(event_id, DecisionStatus.DECIDED, _lines(first), receipt, repeated=True)
        return Decision(event_id, DecisionStatus.PENDING, receipt=receipt, repeated=True)
    if status == "set_aside":
        reason = " ".join(str(part) for part in (decision.get("reason"), decision.get("field")) if part)
        return Decision(event_id, DecisionStatus.SET_ASIDE, receipt=receipt, reason=reason)
    return Decision(event_id, DecisionStatus.PENDING, receipt=receipt)


def hold_of(hold_id: str, account_id: str, answer: Answer) -> Hold:
    """The answer to POST /v1/holds. Raises MeterUnavailable, RequestRefused."""
    document = document_of(answer)
    if answer.status == _PAYMENT_REQUIRED:
        required, available = _amounts(document.get("required")), _amounts(document.get("available"))
        return Hold(hold_id, account_id, HoldStatus.REJECTED, required, required, available)
    if answer.status == _ACCEPTED:
        return Hold(hold_id, account_id, HoldStatus.PENDING)
    if answer.status in {_OK, 201}:
        status = _HOLD_STATUSES.get(str(document.get("status")), HoldStatus.HELD)
        return Hold(hold_id, account_id, status, _amounts(document.get("credits")))
    raise error_of(answer)


def estimate_of(account_id: str, answer: Answer) -> Estimate:
    """The answer to POST /v1/estimates. Raises MeterUnavailable, RequestRefused."""
    document = document_of(answer)
    charges = document.get("charges")
    if answer.status != _OK:
        raise error_of(answer)
    if not isinstance(charges, list):
        raise MeterUnavailable("the answer to an estimate is not one of creditmeter's")
    amounts: dict[str, int] = {}
    for charge in charges:
        name = charge.get("credit_type")
        if name is not None:
            amounts[name] = amounts.get(name, 0) + int(charge.get("credits") or 0)
    suffices, refused = document.get("suffices") is True, int(document.get("refused_events") or 0)
    return Estimate(account_id, amounts, suffices, refused, document)


def refund_of_answer(answer: Answer) -> Delivery:
    """The answer 200 to POST /v1/refunds: the log has decided it, and may have rejected it."""
    refunds = document_of(answer).get("refunds")
    for refund in refunds if isinstance(refunds, list) else []:
        if isinstance(refund, dict) and refund.get("status") in {"rejected", "set_aside"}:
            outputs = [output for output in refund.get("outputs", []) if isinstance(output, dict)]
            reasons = [str(output.get("reject_reason") or output.get("reason")) for output in outputs]
            detail = f"the refund is {refund['status']}: {', '.join(reasons)}"
            return Delivery(DeliveryStatus.INVALID, mistakes=(FieldMistake("", detail),))
    return Delivery(DeliveryStatus.STORED)


def _lines(decision: Mapping[str, Any]) -> tuple[Line, ...]:
    lines = decision.get("lines")
    return tuple(
        Line(
            decision=str(line.get("decision")),
            charge=line.get("charge"),
            credit_type=line.get("credit_type"),
            units=int(line.get("units") or 0),
            credits=int(line.get("credits") or 0),
            balance_after=line.get("balance_after"),
            owner_event_id=line.get("owner_event_id"),
        )
        for line in (lines if isinstance(lines, list) else [])
    )


def _amounts(value: Any) -> dict[str, int]:
    return {str(name): int(amount) for name, amount in value.items()} if isinstance(value, dict) else {}


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds: given as such, or as a date against the answer's own date (this machine's clock may be wrong)."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        later, date = parsedate_to_datetime(text), parsedate_to_datetime(headers.get("date", ""))
        return max(0.0, (later - date).total_seconds())
    except (TypeError, ValueError, IndexError):
        return None
