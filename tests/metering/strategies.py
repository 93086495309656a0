"""Small adversarial worlds: few names, so that repeats and collisions are many, and times that stand on the edges.

A `History` is what one partition reads. It prints as the list of calls that makes it, with times counted from `ZERO`
and every field at its usual value left out, so that a shrunk counterexample reads as a story.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from hypothesis import strategies as st

from tests.metering import meter
from tests.metering.meter import DAY, HOUR, MIDNIGHT, MINUTE, TIME_OF, YEAR_BEGIN, Json

ZERO = MIDNIGHT + DAY
ACCOUNTS = ("a", "b")
EVENT_IDS = tuple(f"e{number}" for number in range(1, 13))
CHARGES = ("lookup", "pageview", "enrich")
CREDIT_TYPES = ("credit", "email")
PLANS = ("pro", "basic")
# Each subject in several spellings.
IPS = {
    "10.0.0.1": ("10.0.0.1", "::ffff:10.0.0.1", "0:0:0:0:0:FFFF:0A00:0001"),
    "2001:db8::1": ("2001:db8::1", "2001:DB8:0:0:0:0:0:1", "2001:0db8::0001"),
}
DOMAINS = {
    "xn--mnchen-3ya.de": ("münchen.de", "www.MÜNCHEN.de.", "xn--mnchen-3ya.de"),
    "acme.com": ("acme.com", "WWW.Acme.COM", "acme.com."),
    "www.com": ("www.com", "www.WWW.com."),
    "xn--strae-oqa.de": ("straße.de", "STRAẞE.de", "xn--strae-oqa.DE"),
    "strasse.de": ("strasse.de", "stras\u00adse.de"),
}


class Step(NamedTuple):
    """One command; for a `price_book`, `record` is the book's plain mapping and `recorded_at` when it is published."""

    command: str
    record: Json
    recorded_at: int

    @property
    def account_id(self) -> str | None:
        return self.record.get("account_id")

    def __repr__(self) -> str:
        if self.command == "price_book":
            return f"price_book({self.record!r})"
        usual = {
            "request": ("", 0),
            "hold": ("", 0, 0),
            "refund": ("", "", 0),
            "grant": ("", 0, 0),
            "account": ("", 0),
        }[self.command]
        defaults: Json = getattr(meter, self.command)(*usual) | {"account_id": None}
        own = TIME_OF[self.command]
        shown = {name: value for name, value in self.record.items() if defaults.get(name, ...) != value}
        fields = ", ".join(f"{name}={when(value) if name in TIMES else repr(value)}" for name, value in shown.items())
        late = "" if self.recorded_at == self.record[own] else f" recorded {when(self.recorded_at)}"
        return f"{self.command}({fields}){late}"


TIMES = {"occurred_at", "held_at", "requested_at", "granted_at", "at", "expires_at"}


def when(at: Any) -> str:
    """A time as a person counts it: `+1d-1ms`, from ZERO."""
    if not isinstance(at, int):
        return repr(at)
    rest, text = at - ZERO, ""
    for unit, name in ((DAY, "d"), (HOUR, "h"), (MINUTE, "m"), (1, "ms")):
        count = round(rest / unit) if unit > 1 else rest
        if count:
            text, rest = f"{text}{count:+d}{name}", rest - count * unit
    return text or "0"


class History(tuple[Step, ...]):
    """Steps in the order of the log."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "History:\n" + "\n".join(f"  {number}: {step!r}" for number, step in enumerate(self))

    def of_account(self, account_id: str) -> History:
        """What concerns one account: its own commands, and the books."""
        return History(step for step in self if step.account_id in (account_id, None))


# Sums of the lengths that matter, a millisecond to either side: windows, days, accept_window and future_skew meet here.
LENGTHS = (0, 0, 0, 30 * MINUTE, HOUR, 2 * HOUR, DAY, DAY + HOUR, 2 * DAY, 5 * DAY)
times = st.builds(
    lambda length, more, sign, near: ZERO + sign * (length + more) + near,
    st.sampled_from(LENGTHS),
    st.sampled_from((0, 0, HOUR, DAY)),
    st.sampled_from((1, 1, 1, -1)),
    st.sampled_from((0, 0, 1, -1)),
)
# What an echo of an earlier command is shifted by: exactly a window or a limit, and a millisecond to either side.
EDGES = (HOUR, DAY, 2 * DAY, 7 * DAY, 35 * DAY, 12 * HOUR)
NEAR_BY = (0, 1, 2 * MINUTE, HOUR, -HOUR, HOUR - 1, DAY - 1, DAY, 1 - DAY) * 3
shifts = st.sampled_from((*NEAR_BY, *(sign * edge + near for edge in EDGES for sign in (1, -1) for near in (0, 1, -1))))
LAGS = (0,) * 40 + (-5 * MINUTE, -5 * MINUTE - 1, -HOUR, -HOUR - 1, DAY)
recording_lags = st.sampled_from(LAGS)
spelled_ips = st.sampled_from([None, *(spelling for spellings in IPS.values() for spelling in spellings)])
spelled_domains = st.sampled_from([None, *(spelling for spellings in DOMAINS.values() for spelling in spellings)])
windows = st.sampled_from(("1h", "24h", "2d", "7d", "calendar_day", "ever"))
subjects = st.sampled_from((["ip"], ["domain"], ["user_id"], ["ip", "user_id"], ["user_id", "ip"], ["attributes.c"]))
uniques = st.builds(lambda by, within: {"by": by, "within": within}, subjects, windows)
conditions = st.sampled_from((
    *({},) * 8, {"channel": "api"}, {"endpoint": "/v1/*"}, {"endpoint": ["/x", "/v1/lookup"], "channel": ["js", "a*"]},
    {"plan": "pro"}, {"plan": ["pro", "basic"]}, {"attributes.c": "*"}, {"attributes.c": ["1", "2*"]},
))  # fmt: skip


@st.composite
def charges(draw: st.DrawFn, name: str) -> Json:
    item = {
        "charge": name,
        "credit_type": draw(st.sampled_from(CREDIT_TYPES)),
        "when": draw(conditions),
        "per": draw(st.sampled_from(("request", "request", "request", "results"))),
        "credits": draw(st.sampled_from((1, 2, 10, 3, 7, 10, 0, 1_000_000))),
        "plans": draw(st.dictionaries(st.sampled_from(PLANS), st.sampled_from((1, 5, 0)), max_size=2)),
    }
    if draw(st.booleans()):
        item |= {"feature": "Feature", "action": "Action"}
    if draw(st.integers(0, 3)):
        item["unique"] = draw(uniques)
    return item


overriding = st.sampled_from((False, False, True))


@st.composite
def versions(draw: st.DrawFn) -> list[Json]:
    starts = [YEAR_BEGIN, *draw(st.lists(times, max_size=2))]
    if draw(st.integers(0, 4)) == 4:
        starts = starts[1:] or [ZERO]  # prices that begin late leave events unpriced
    return [
        {"version": f"v{number}", "effective_from": start, "charges": charges_of_it, "overrides_lock": draw(overriding)}
        for number, start in enumerate(sorted(set(starts)))
        for names in [draw(st.lists(st.sampled_from(CHARGES), unique=True, min_size=1))]
        for charges_of_it in [[draw(charges(name)) for name in names]]
    ]


@st.composite
def books(draw: st.DrawFn) -> Json:
    limits = {
        "accept_window": draw(st.sampled_from(("35d", "35d", "2d", "24h", "1h"))),
        "future_skew": draw(st.sampled_from(("5m", "5m", "1h"))),
    }
    lock = draw(st.sampled_from(("none", "plan_period")))
    return {"price_lock": lock, "limits": limits, "versions": draw(versions())}


def steps(command: str, records: st.SearchStrategy[Json]) -> st.SearchStrategy[Step]:
    return st.builds(lambda record, lag: Step(command, record, record[TIME_OF[command]] + lag), records, recording_lags)


accounts = st.sampled_from(ACCOUNTS)
event_ids = st.sampled_from(EVENT_IDS)
credit_types = st.sampled_from(CREDIT_TYPES)
requests = st.builds(
    meter.request,
    event_ids,
    times,
    account_id=accounts,
    endpoint=st.sampled_from(("/v1/lookup", "/v1/lookup", "/x", "/v2")),
    channel=st.sampled_from(("api", "api", "js")),
    outcome=st.sampled_from(("processed",) * 6 + ("invalid", "failed")),
    user_id=st.sampled_from(("u1", "u1", None, "u2", "")),
    ip=spelled_ips,
    domain=spelled_domains,
    plan=st.sampled_from((None, None, None, "pro", "basic", "")),
    hold_id=st.sampled_from((None, None, None, "h1", "h2", "")),
    keeps_hold=st.booleans(),
    quantities=st.sampled_from(({"results": 3}, {"results": 1}, {}, {"results": 0}, {"results": 10**9}, {"x": 1})),
    attributes=st.sampled_from(({"c": "1"}, {}, {"c": "1"}, {"c": "2x"}, {"c": ""})),
)
holds = st.builds(
    lambda lasts, *args, **fields: (asked := meter.hold(*args, **fields)) | {"expires_at": asked["held_at"] + lasts},
    st.sampled_from((1, HOUR, HOUR, DAY, 30 * DAY)),
    st.sampled_from(("h1", "h2", "h3", "h4")),
    st.dictionaries(credit_types, st.sampled_from((1, 5, 12, 40, 10**12)), min_size=1),
    times,
    account_id=accounts,
    reason=st.sampled_from(("bulk", "")),
)
refunds = st.builds(
    meter.refund,
    st.sampled_from(("r1", "r2", "r3", "r4")),
    event_ids | st.just("never-seen"),
    times,
    account_id=accounts,
    charge=st.sampled_from((None, None, None, *CHARGES, "")),
    credits=st.sampled_from((None, None, None, 1, 2, 7, 10, 10**9)),
    reason=st.sampled_from(("asked for", "")),
)
grants = st.builds(
    lambda lasts, *args, **fields: (
        (given := meter.grant(*args, **fields)) | {"expires_at": None if lasts is None else given["granted_at"] + lasts}
    ),
    st.sampled_from((None, None, 1, HOUR, DAY, 3 * DAY)),
    st.sampled_from(("g1", "g2", "g3", "g4")),
    st.sampled_from((1, 5, 12, 40, 10**12)),
    times,
    account_id=accounts,
    credit_type=credit_types,
    reason=st.sampled_from(("bought", "")),
)
plans = st.none() | st.fixed_dictionaries(
    {
        "name": st.sampled_from(PLANS),
        "started_at": times | st.just(YEAR_BEGIN) | st.just(YEAR_BEGIN - DAY),
        "ends_at": st.none() | times,
    }
)
account_updates = st.builds(
    meter.account,
    st.sampled_from(("u1", "u2", "u3")),
    times,
    account_id=accounts,
    plan=plans,
    on_empty=st.sampled_from(("allow", "reject")),
    alert_below=st.dictionaries(credit_types, st.sampled_from((0, 1, 10, 30))),
)
fresh = {
    "request": steps("request", requests),
    "hold": steps("hold", holds),
    "refund": steps("refund", refunds),
    "grant": steps("grant", grants),
    "account": steps("account", account_updates),
    "price_book": st.builds(lambda mapping: Step("price_book", mapping, ZERO), books()),
}


@st.composite
def stories(draw: st.DrawFn, mix: tuple[Any, ...], max_size: int) -> list[Any]:
    """What happens, in order: as often long as short, where lists of their own accord are mostly short."""
    least = draw(st.sampled_from((1, max_size // 2)))
    return draw(st.lists(st.sampled_from(mix), min_size=least, max_size=max_size))


USUAL_MIX = ("request",) * 8 + ("hold",) * 2 + ("refund",) * 3 + ("grant",) * 2 + ("account",) * 2 + ("price_book",)


@st.composite
def echoes(draw: st.DrawFn, earlier: Step) -> Step:
    """An earlier request once more: under its own id or another, an edge later or sooner, its subjects spelled anew."""
    record = earlier.record | {"occurred_at": earlier.record["occurred_at"] + draw(shifts)}
    record["event_id"] = draw(st.sampled_from((*EVENT_IDS, record["event_id"])))
    if record["ip"] is not None:
        record["ip"] = draw(st.sampled_from(next(spellings for spellings in IPS.values() if record["ip"] in spellings)))
    return Step("request", record, record["occurred_at"] + draw(recording_lags))


@st.composite
def refunds_of(draw: st.DrawFn, earlier: Step) -> Step:
    """A refund that names an earlier request, asked for at an edge after it."""
    asked = draw(refunds) | {name: earlier.record[name] for name in ("account_id", "event_id")}
    asked["requested_at"] = earlier.record["occurred_at"] + abs(draw(shifts))
    return Step("refund", asked, asked["requested_at"] + draw(recording_lags))


@st.composite
def histories(draw: st.DrawFn, max_size: int = 16, mix: tuple[str, ...] = USUAL_MIX) -> History:
    """A book (now and then none), then commands of `mix`; most of them answer an earlier request."""
    commands = [draw(fresh["price_book"])] if draw(st.integers(0, 9)) < 9 else []
    for command in draw(stories(mix, max_size)):
        requested = [step for step in commands if step.command == "request"]
        answers = {"request": echoes, "refund": refunds_of}.get(command)
        if answers and requested and draw(st.integers(0, 5)):
            commands.append(draw(answers(draw(st.sampled_from(requested)))))
        else:
            commands.append(draw(fresh[command]))
    return History(commands)
