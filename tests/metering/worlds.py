"""Worlds that are about one thing: each keeps all else plain, so that most of its steps meet the edges of that thing.

`calm_histories` refuse nothing, `money_histories` move credits, `claim_histories` make and forget claims,
`price_histories` change prices and plans, `limit_histories` change how far back events are accepted.
"""

from __future__ import annotations

from hypothesis import strategies as st

from tests.metering import meter
from tests.metering.meter import DAY, HOUR, YEAR_BEGIN, Json
from tests.metering.strategies import CREDIT_TYPES, USUAL_MIX, ZERO, History, Step, credit_types, overriding, stories

# -- calm: all is accepted and priced ----------------------------------------------------------------------------------

calm_times = st.builds(lambda hours, near: ZERO + hours * HOUR + near, st.integers(0, 30), st.sampled_from((0, 1, -1)))
calm_charges = [
    meter.charge("lookup", 20, unique=(["ip"], "24h")),
    meter.charge("lookup", 3, unique=(["ip"], "calendar_day")),
    meter.charge("lookup", 7, unique=(["ip"], "ever")),
    meter.charge("pageview", 1),
    meter.charge("enrich", 4, credit_type="email", unique=(["ip"], "1h")),
    meter.charge("phone", 2, per="results"),
]
calm_books = st.lists(st.sampled_from(calm_charges), min_size=1, unique_by=lambda item: item["charge"]).map(
    lambda items: meter.book(*items)
)


@st.composite
def calm_commands(draw: st.DrawFn, command: str, number: int, event_ids_so_far: list[str]) -> Step:
    at = draw(calm_times)
    account_id = draw(st.sampled_from(("a", "a", "a", "b")))
    if command == "request":
        spelled = draw(st.sampled_from(("10.0.0.1", "::ffff:10.0.0.1", "2001:db8::1")))
        record = meter.request(f"e{number}", at, account_id="a", ip=spelled, quantities={"results": 5})
    elif command == "refund":
        event_id = draw(st.sampled_from(event_ids_so_far or ["never-seen"]))
        which = draw(st.sampled_from((None, None, "lookup", "pageview", "enrich", "phone")))
        part = draw(st.sampled_from((None, None, None, 1, 2, 3, 20)))
        record = meter.refund(f"r{number}", event_id, at, account_id="a", charge=which, credits=part)
    elif command == "grant":
        lasts = draw(st.sampled_from((None, HOUR, 10 * HOUR, 24 * HOUR)))
        some = draw(st.sampled_from((5, 10, 30, 1)))
        kind = draw(credit_types)
        record = meter.grant(f"g{number}", some, at, account_id=account_id, credit_type=kind)
        record["expires_at"] = None if lasts is None else at + lasts
    else:
        on_empty = draw(st.sampled_from(("allow", "reject")))
        marks = draw(st.dictionaries(credit_types, st.sampled_from((0, 5, 15)), min_size=1))
        record = meter.account(f"u{number}", at, account_id=account_id, on_empty=on_empty, alert_below=marks)
    return Step(command, record, at + DAY)


CALM_MIX = tuple(command for command in USUAL_MIX if command not in ("hold", "price_book"))


@st.composite
def calm_histories(draw: st.DrawFn, max_size: int = 24, mix: tuple[str, ...] = CALM_MIX) -> History:
    """A book of the plainest kind, and commands that nothing refuses: ids are all new, and 35 days cover all times."""
    steps = [Step("price_book", draw(calm_books), ZERO)]
    event_ids_so_far: list[str] = []
    for number, command in enumerate(draw(stories(mix, max_size)), 1):
        steps.append(draw(calm_commands(command, number, event_ids_so_far)))
        if command == "request":
            event_ids_so_far.append(f"e{number}")
    return History(steps)


# -- money: grants that end at the same hours, debt, partial refunds ---------------------------------------------------

MONEY_BOOK = meter.book(
    meter.charge("record", 1, per="results"),
    meter.charge("more", 2, per="results", when={"channel": "js"}),
    meter.charge("mail", 3, credit_type="email", when={"channel": "js"}),
)
few_credits = st.sampled_from((1, 2, 3, 5, 8, 10, 20))


@st.composite
def money_commands(draw: st.DrawFn, command: str, number: int, requested: list[str], at: int) -> Step:
    if command == "request":
        channel = draw(st.sampled_from(("api", "js")))
        record = meter.request(f"e{number}", at, channel=channel, quantities={"results": draw(few_credits)})
    elif command == "refund":
        event_id = draw(st.sampled_from([*requested[:-3:-1], *requested, "never-seen"]))
        which = draw(st.sampled_from((None, None, "record", "record", "more", "mail")))
        record = meter.refund(f"r{number}", event_id, at, charge=which, credits=draw(st.none() | few_credits))
    elif command == "grant":
        lasts = draw(st.sampled_from((None, 1, 2, 3)))
        record = meter.grant(f"g{number}", draw(few_credits), at, expires_at=None if lasts is None else at + lasts)
        record["credit_type"] = draw(st.sampled_from(("credit", *CREDIT_TYPES)))
    else:
        marks = draw(st.dictionaries(credit_types, few_credits))
        record = meter.account(f"u{number}", at, alert_below=marks, on_empty=draw(st.sampled_from(("allow", "reject"))))
    return Step(command, record, at)


@st.composite
def money_histories(draw: st.DrawFn) -> History:
    """Time goes on by a millisecond now and then, and grants last one, two or three of them."""
    steps, at = [Step("price_book", MONEY_BOOK, ZERO)], ZERO
    requested: list[str] = []
    mix = ("request",) * 4 + ("grant",) * 4 + ("refund",) * 5 + ("account",)
    for number, command in enumerate(draw(stories(mix, 24)), 1):
        at += draw(st.sampled_from((0, 0, 0, 1)))
        steps.append(draw(money_commands(command, number, requested, at)))
        if command == "request":
            requested.append(f"e{number}")
    return History(steps)


# -- claims: one charge whose window and subject change from version to version ----------------------------------------

claim_times = st.builds(
    lambda days, hours, near: ZERO + days * DAY + hours * HOUR + near,
    st.sampled_from((0, 1, 2, 3, 4)),
    st.sampled_from((0, 0, 1, 12)),
    st.sampled_from((0, 0, 1, -1)),
)
# From one command to the next: windows, and accept_window with a window (24 h and 24 h, 48 h and 24 h).
claim_steps = (0, 12 * HOUR, DAY, DAY - 1, DAY + 1, -12 * HOUR, -DAY, 2 * DAY, 2 * DAY + 1, 3 * DAY, 3 * DAY + 1)
subjects_by = st.sampled_from((["ip"], ["ip"], ["ip"], ["ip"], ["ip", "user_id"], ["user_id", "ip"]))
any_window = st.sampled_from(("24h", "1h", "2d", "calendar_day", "ever"))


@st.composite
def claim_books(draw: st.DrawFn) -> Json:
    """Windows that mostly widen from version to version, so that what was forgotten shows."""
    starts = [YEAR_BEGIN, *sorted(draw(st.sets(claim_times, max_size=2)))]
    wider = draw(st.booleans())
    windows = [draw(st.sampled_from(("ever", "2d")) if wider and n else any_window) for n in range(len(starts))]
    versions = [
        meter.version(f"v{n}", start, meter.charge("lookup", 5, unique=(draw(subjects_by), window)))
        for n, (start, window) in enumerate(zip(starts, windows, strict=True))
    ]
    return meter.book_of(*versions, accept_window=draw(st.sampled_from(("24h", "2d", "1h", "35d"))))


@st.composite
def claim_histories(draw: st.DrawFn) -> History:
    steps, at = [Step("price_book", draw(claim_books()), ZERO)], ZERO
    requested: list[Json] = []
    mix = ("request",) * 9 + ("refund", "account", "price_book")
    for number, command in enumerate(draw(stories(mix, 14)), 1):
        at = at + draw(st.sampled_from(claim_steps)) if draw(st.integers(0, 3)) else draw(claim_times)
        if command == "request":
            user_id = draw(st.sampled_from(("10.0.0.1", "10.0.0.1", "10.0.0.2")))
            ip = draw(st.sampled_from(("10.0.0.1", "10.0.0.1", "::ffff:10.0.0.1", "10.0.0.2")))
            step = Step(command, meter.request(f"e{number}", at, ip=ip, user_id=user_id), ZERO + 99 * DAY)
            requested.append(step.record)
        elif command == "price_book":
            step = Step(command, draw(claim_books()), ZERO)
        elif command == "refund" and requested:
            whose = draw(st.sampled_from(requested))
            part = draw(st.sampled_from((None, None, 2)))
            record = meter.refund(f"r{number}", whose["event_id"], whose["occurred_at"], credits=part)
            step = Step(command, record, ZERO + 99 * DAY)
        else:
            step = Step("account", meter.account(f"u{number}", at), ZERO + 99 * DAY)  # moves time, and no more
        steps.append(step)
    return History(steps)


# -- prices: versions, plans and the lock ------------------------------------------------------------------------------

price_times = st.builds(
    lambda hours, near: ZERO + hours * HOUR + near, st.sampled_from((-1, 0, 1, 2, 3, 4)), st.sampled_from((0, 0, 1, -1))
)
price_items = st.builds(
    lambda credits_, when, plans: meter.charge("lookup", credits_, when=when, plans=plans),
    st.integers(1, 9),
    st.sampled_from(({}, {}, {"plan": "pro"}, {"plan": "b*"})),
    st.sampled_from(({}, {"pro": 7}, {"basic": 8, "pro": 0})),
)
STARTS = (ZERO, ZERO + HOUR, ZERO + 2 * HOUR)


@st.composite
def price_histories(draw: st.DrawFn) -> History:
    steps: list[Step] = []
    mix = ("request",) * 4 + ("account",) * 2
    for number, command in enumerate(["price_book", *draw(stories((*mix, "price_book"), 14))]):
        at = draw(price_times)
        plan_name = draw(st.sampled_from((None, None, "pro", "basic")))
        if command == "request":
            steps.append(Step(command, meter.request(f"e{number}", at, plan=plan_name), at))
        elif command == "account":
            ends_at = draw(st.none() | price_times)
            plan: Json = {"name": plan_name or "pro", "started_at": draw(price_times), "ends_at": ends_at}
            if ends_at is not None and ends_at <= plan["started_at"]:
                plan["ends_at"] = None
            steps.append(Step(command, meter.account(f"u{number}", at, plan=plan), at))
        else:
            starts = draw(st.lists(st.sampled_from(STARTS), unique=True, min_size=1))
            versions = [meter.version(f"v{start - ZERO}", start, draw(price_items)) for start in sorted(starts)]
            for one in versions:
                one["overrides_lock"] = draw(overriding)
            lock = draw(st.sampled_from(("plan_period", "plan_period", "none")))
            steps.append(Step(command, meter.book_of(*versions, price_lock=lock), ZERO))
    return History(steps)


# -- limits: how far back and how far ahead events are accepted --------------------------------------------------------

limit_times = st.builds(
    lambda hours, near: ZERO + hours * HOUR + near,
    st.sampled_from((0, 1, 2, 24, 25, 48)),
    st.sampled_from((0, 0, 1, -1)),
)


@st.composite
def limit_histories(draw: st.DrawFn) -> History:
    def limits() -> Step:
        window = draw(st.sampled_from(("1h", "24h", "2d")))
        skew = draw(st.sampled_from(("5m", "1h")))
        return Step("price_book", meter.book(meter.charge("l"), accept_window=window, future_skew=skew), ZERO)

    steps = [limits()]
    mix = ("request",) * 6 + ("account", "refund", "refund", "price_book", "price_book")
    for number, command in enumerate(draw(stories(mix, 14))):
        at, event_id = draw(limit_times), draw(st.sampled_from(("e1", "e2", "e3")))
        recorded_at = at - draw(st.sampled_from((0, 0, 0, 0, 0, 0, 5 * meter.MINUTE, 5 * meter.MINUTE + 1, HOUR)))
        if command == "price_book":
            steps.append(limits())
        elif command == "request":
            steps.append(Step(command, meter.request(event_id, at), recorded_at))
        elif command == "refund":
            steps.append(Step(command, meter.refund(f"r{number}", event_id, at, credits=1), recorded_at))
        else:
            steps.append(Step(command, meter.account(f"u{number // 2}", at), recorded_at))
    return History(steps)
