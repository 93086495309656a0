"""Worlds about holds: one account, two credit types, few ids, and a log's clock that goes on, stands and goes back."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.metering import meter
from tests.metering.meter import DAY, HOUR, Json
from tests.metering.strategies import CREDIT_TYPES, ZERO, History, Step, stories

HOLD_IDS = ("h1", "h2", "h3")
few = st.sampled_from((1, 2, 3, 5, 8, 13))
# Every charge can be made to cost anything, or nothing: by quantities, by outcome, by an endpoint without a price.
BOOK = meter.book(
    meter.charge("find", 1, per="results", when={"endpoint": "/v1/*"}),
    meter.charge("mail", 2, per="mails", credit_type="email", when={"endpoint": "/v1/*"}),
    meter.charge("gratis", 0, when={"endpoint": "/v1/*", "channel": "js"}),
    meter.charge("once", 4, when={"channel": "js"}, unique=(["ip"], "24h")),
    accept_window="1h",
)


@st.composite
def hold_commands(draw: st.DrawFn, command: str, number: int, at: int) -> Json:
    if command == "hold":
        asked = draw(st.dictionaries(st.sampled_from(CREDIT_TYPES), few, min_size=1))
        lasts = draw(st.sampled_from((1, 2, 3, 5, HOUR, HOUR + 1)))
        return meter.hold(draw(st.sampled_from(HOLD_IDS)), asked, at, expires_at=at + lasts)
    if command == "request":
        quantities = {name: draw(few) for name in draw(st.sets(st.sampled_from(("results", "mails")), max_size=2))}
        return meter.request(
            draw(st.sampled_from((f"e{number}",) * 9 + ("e1",))),
            at,
            endpoint=draw(st.sampled_from(("/v1/find",) * 5 + ("/nowhere",))),
            channel=draw(st.sampled_from(("api", "api", "js"))),
            outcome=draw(st.sampled_from(("processed",) * 7 + ("failed",))),
            ip=draw(st.sampled_from(("10.0.0.1", None) + ("nowhere",) * (draw(st.integers(0, 9)) == 9))),
            hold_id=draw(st.sampled_from((*HOLD_IDS, *HOLD_IDS, None))),
            keeps_hold=draw(st.booleans()),
            quantities=quantities,
        )
    if command == "grant":
        lasts = draw(st.sampled_from((None, 1, 2, 3)))
        ends = None if lasts is None else at + lasts
        credit_type = draw(st.sampled_from(CREDIT_TYPES))
        return meter.grant(f"g{number}", draw(few), at, credit_type=credit_type, expires_at=ends)
    if command == "refund":
        return meter.refund(f"r{number}", f"e{draw(st.integers(1, max(1, number)))}", at)
    plan = draw(st.sampled_from((None, {"name": "pro", "started_at": ZERO, "ends_at": ZERO + 3})))
    marks = draw(st.dictionaries(st.sampled_from(CREDIT_TYPES), few, max_size=1))
    on_empty = draw(st.sampled_from(("reject", "reject", "allow")))
    return meter.account(f"u{number}", at, on_empty=on_empty, plan=plan, alert_below=marks)


@st.composite
def hold_histories(draw: st.DrawFn, *, reject: bool = False) -> History:
    """Own times and the log's clock move by a millisecond, an hour or a day, each for itself; `reject`: from the start,
    for ever."""
    steps, at, clock = [Step("price_book", BOOK, ZERO)], ZERO, ZERO
    if reject:
        steps.append(Step("account", meter.account("u0", at, on_empty="reject"), clock))
    mix = ("request",) * 6 + ("hold",) * 5 + ("grant",) * 3 + ("refund",) + ("account",) * (not reject)
    for number, command in enumerate(draw(stories(mix, 24)), 1):
        at += draw(st.sampled_from((0, 0, 0, 1, 1, HOUR, -1, HOUR + 1)))
        clock = max(clock, at) + draw(st.sampled_from((0, 0, 0, 1, 2, -1, -2, HOUR, DAY)))
        steps.append(Step(command, draw(hold_commands(command, number, at)), clock))
    return History(steps)
