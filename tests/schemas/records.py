"""Records of every schema: one example each, and Hypothesis strategies made from the schemas themselves."""

from io import BytesIO
from typing import Any

import fastavro
from hypothesis import strategies as st

from schemas.catalog import expanded
from schemas.source import kind_of

EVENT: dict[str, Any] = {
    "event_id": "evt-1",
    "account_id": "acct-7",
    "occurred_at": 1_767_225_600_000,
    "endpoint": "/v1/ip-lookup",
    "channel": "api",
    "outcome": "processed",
    "request_id": None,
    "actor": "key-12",
    "user_id": None,
    "ip": "192.0.2.7",
    "domain": None,
    "plan": None,
    "hold_id": "h-1",
    "keeps_hold": True,
    "quantities": {"results": 100},
    "attributes": {"description": "Zoë, Acme"},
}
LINE: dict[str, Any] = {
    "event_id": "evt-1",
    "line": 0,
    **{name: value for name, value in EVENT.items() if name not in {"event_id", "hold_id", "keeps_hold"}},
    "plan": "enterprise",
    "decision": "charged",
    "charge": "ip-lookup",
    "feature": "Identification",
    "action": None,
    "credit_type": "credit",
    "price_version": "2026-01",
    "units": 1,
    "unit_credits": 15,
    "credits": 15,
    "owner_event_id": None,
    "window_ends_at": 1_767_312_000_000,
    "balance_after": -5,
    "grants_used": [{"grant_id": "g-1", "credits": 10}],
    "hold_id": "h-1",
}
REPEATED: dict[str, Any] = {
    "index": 3,
    "command": "request",
    "id": "evt-0",
    "same_content": False,
    "first_offset": 69_999,
    "first_index": 1,
}
SET_ASIDE: dict[str, Any] = {
    "index": 4,
    "command": "request",
    "id": "evt-2",
    "reason": "invalid_event",
    "field": "ip",
}
APPLIED: dict[str, Any] = {"command": "refund", "id": "r-1"}
ANSWERS: dict[str, list[dict[str, Any]]] = {"repeated": [REPEATED], "set_aside": [SET_ASIDE], "applied": [APPLIED]}
HEAD = {"source_partition": 3, "source_offset": 70_000, "part": 0, "parts": 1}
REFUND: dict[str, Any] = {
    "refund_id": "r-1",
    "account_id": "acct-7",
    "event_id": "evt-1",
    "line": None,
    "charge": None,
    "status": "rejected",
    "reject_reason": "unknown_charge",
    "credits": 0,
    "forfeited": 0,
    "credit_type": None,
    "remaining_charge": None,
    "balance_after": None,
    "reason": "",
    "requested_at": 1_767_225_600_000,
    "occurred_at": None,
}
GRANT_CHANGE: dict[str, Any] = {
    "grant_id": "g-1",
    "account_id": "acct-7",
    "credit_type": "credit",
    "status": "applied",
    "credits": 1_000,
    "expires_at": None,
    "balance_after": 1_000,
    "reason": "order 5",
    "changed_at": 1_767_225_600_000,
}
ALERT: dict[str, Any] = {
    "account_id": "acct-7",
    "kind": "below",
    "credit_type": "credit",
    "mark": 100,
    "balance": 85,
    "at": 1_767_225_600_000,
}
ACCOUNT_CHANGE: dict[str, Any] = {
    "update_id": "u-1",
    "account_id": "acct-7",
    "plan": {"name": "enterprise", "started_at": 1_767_225_600_000, "ends_at": None},
    "on_empty": "reject",
    "alert_below": {"credit": 100},
    "at": 1_767_225_600_000,
}
HOLD_CHANGE: dict[str, Any] = {
    "hold_id": "h-1",
    "account_id": "acct-7",
    "status": "settled",
    "credits": {"credit": 500},
    "charged": {"credit": 100, "email": 3},
    "available_after": {"credit": -5},
    "event_id": "evt-1",
    "reject_reason": None,
    "expires_at": 1_767_229_200_000,
    "at": 1_767_225_600_000,
    "reason": "bulk find",
}
DEAD_LETTER: dict[str, Any] = {
    "reason": "invalid_event",
    "field": "ip",
    "detail": "not an IP address",
    "command": "request",
    "account_id": "acct-7",
    "id": "evt-1",
    "index": 2,
    "producer": "emit",
    "recorded_at": 1_767_225_600_000,
    "size": 3,
    "original": b"\x00\xff\x10",
}
CREATED: dict[str, Any] = {
    "created_at": 1_767_225_600_000,
    "created_by": "key_ops",
    "created_from": "192.0.2.1",
}
ACCESS: dict[str, dict[str, Any]] = {
    "AccessKey": {
        "key_id": "key_7",
        "digest": bytes(range(32)),
        "role": "member",
        "account_id": "acct-7",
        "actor": "anna",
        "name": "dashboard",
        "hint": "cm_live_Zq",
        **CREATED,
        "expires_at": None,
        "revoked_at": 1_767_229_200_000,
        "revoked_by": "ops@host",
        "revoked_from": "",
        "revision": 2,
    },
    "Member": {
        "account_id": "acct-7",
        "actor": "anna",
        "name": "Anna",
        "email": "anna@example.com",
        "changed_at": 1_767_225_600_000,
        "changed_by": "key_ops",
        "changed_from": "192.0.2.1",
        "removed_at": None,
        "removed_by": None,
        "removed_from": None,
        "revision": 1,
    },
    "Webhook": {
        "webhook_id": "wh_1",
        "account_id": "acct-7",
        "url": "https://example.com/hook",
        "events": ["balance.below", "refund.made"],
        "description": "",
        "generation": 1,
        "rotated_at": None,
        **CREATED,
        "disabled_at": None,
        "disabled_reason": None,
        "enabled_at": None,
        "removed_at": None,
        "removed_by": None,
        "removed_from": None,
        "revision": 1,
    },
    "LinkUse": {
        "link_id": "link_1",
        "role": "owner",
        "account_id": "acct-7",
        "actor": None,
        "name": "",
        **CREATED,
        "expires_at": 1_767_312_000_000,
        "used_at": 1_767_229_200_000,
        "used_from": "192.0.2.9",
        "session_ends_at": 1_767_272_400_000,
        "revoked_at": None,
        "revoked_by": None,
        "revoked_from": None,
        "revision": 2,
    },
    "KeyUse": {"key_id": "key_7", "used_at": 1_767_225_600_000},
    "ChangeRecord": {
        "change_id": "chg_1",
        "at": 1_767_225_600_000,
        "changed_by": "key_ops",
        "changed_from": "192.0.2.1",
        "action": "key.created",
        "account_id": "acct-7",
        "subject": "key_7",
        "details": {"role": "member"},
    },
}
DELIVERIES: dict[str, dict[str, Any]] = {
    "Delivery": {
        "delivery_id": "msg_7",
        "webhook_id": "wh_1",
        "account_id": "acct-7",
        "event": "balance.below",
        "payload": '{"type":"balance.below"}',
        "created_at": 1_767_225_600_000,
        "status": "failed",
        "tries": 1,
        "next_at": None,
        "finished_at": 1_767_225_600_250,
        "reason": "410",
        "attempts": [{"at": 1_767_225_600_000, "duration": 250, "status_code": 410, "error": "410 Gone"}],
        "revision": 2,
    },
    "DeliveryPosition": {
        "topic": "credits.alerts",
        "next_offset": 7,
        "source_offset": 50_544,
        "part": 0,
        "at": 1_767_225_600_000,
    },
}
EXAMPLES: dict[str, dict[str, Any]] = {
    "RequestBatch": {"events": [EVENT]},
    "Hold": {
        "hold_id": "h-1",
        "account_id": "acct-7",
        "credits": {"credit": 500},
        "held_at": 1_767_225_600_000,
        "expires_at": 1_767_229_200_000,
        "reason": "bulk find",
    },
    "RefundRequest": {
        "refund_id": "r-1",
        "account_id": "acct-7",
        "event_id": "evt-1",
        "charge": "ip-lookup",
        "credits": 5,
        "reason": "a mistake",
        "requested_at": 1_767_225_600_000,
    },
    "Grant": {
        "grant_id": "g-1",
        "account_id": "acct-7",
        "credit_type": "credit",
        "credits": 1_000_000_000_000,
        "granted_at": 1_767_225_600_000,
        "expires_at": 1_798_761_600_000,
        "reason": "",
    },
    "AccountUpdate": {
        "update_id": "u-1",
        "account_id": "acct-7",
        "plan": {"name": "enterprise", "started_at": 1_767_225_600_000, "ends_at": None},
        "on_empty": "reject",
        "alert_below": {"credit": 100},
        "at": 1_767_225_600_000,
    },
    "PriceBook": {"book_id": "ab" * 32, "yaml": "versions: []\n", "published_at": 1_767_225_600_000},
    "BilledBatch": {**HEAD, "events": [LINE], **ANSWERS},
    "RefundBatch": {**HEAD, "refunds": [REFUND]},
    "GrantBatch": {**HEAD, "grants": [GRANT_CHANGE]},
    "AlertBatch": {**HEAD, "alerts": [ALERT]},
    "AccountBatch": {**HEAD, "accounts": [ACCOUNT_CHANGE]},
    "HoldBatch": {**HEAD, "holds": [HOLD_CHANGE]},
    "DeadLetterBatch": {**HEAD, "dead_letters": [DEAD_LETTER]},
    **ACCESS,
    **DELIVERIES,
}


def values(schema: Any) -> st.SearchStrategy[Any]:
    """Any value of an expanded schema."""
    match kind_of(schema):
        case "null":
            return st.none()
        case "boolean":
            return st.booleans()
        case "int":
            return st.integers(-(2**31), 2**31 - 1)
        case "long":
            return st.integers(-(2**63), 2**63 - 1) | st.integers(0, 20_000) | st.integers(1 << 33, 1 << 43)
        case "float":
            return st.floats(width=32, allow_nan=False)
        case "double":
            return st.floats(allow_nan=False)
        case "string":
            return st.text(st.characters(exclude_categories=["Cs"]), max_size=90)
        case "bytes":
            return st.binary(max_size=200)
        case "fixed":
            return st.binary(min_size=schema["size"], max_size=schema["size"])
        case "enum":
            return st.sampled_from(schema["symbols"])
        case "union":
            return st.one_of(*(values(branch) for branch in schema))
        case "array":
            return st.lists(values(schema["items"]), max_size=3)
        case "map":
            return st.dictionaries(values("string"), values(schema["values"]), max_size=3)
        case "record":
            return st.fixed_dictionaries({field["name"]: values(field["type"]) for field in schema["fields"]})
        case kind:
            raise AssertionError(f"no values for {kind}")


def records(schema: Any) -> st.SearchStrategy[Any]:
    """Any record of a schema."""
    return values(expanded(schema))


def fastavro_body(schema: Any, record: Any) -> bytes:
    """The body that fastavro writes: the independent implementation that ours is held equal to."""
    out = BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), record)
    return out.getvalue()


def fastavro_record(schema: Any, body: bytes) -> Any:
    return fastavro.schemaless_reader(BytesIO(body), fastavro.parse_schema(schema), None)
