"""Explanations agree with the bill: every line of 20,000 events, as the pipeline wrote them and read back from it.

CREDITMETER_TEST_SIZE multiplies them. The stream runs on the in-memory log with every type of command mixed. Then each
account is replayed as `explain` does it, every event is explained just before it is applied, and what is said has to be
what the output topics hold, and has to add up by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest

from metering.explaining import explain_event
from metering.explanation import Explanation, LineStory, LockReason, VersionReason
from metering.records import YEAR_2000, Decision
from replay.account import AccountReplay, ReplaySource, beginning
from replay.commands import ReplayedCommand
from replay.event_story import differences, replay_story
from schemas.batches import read_position
from schemas.catalog import BATCHES
from schemas.codec import Codec
from streams.log.memory import MemoryBroker, MemoryInputLog, MemoryOutputLog
from streams.log.partitioner import partition_of
from streams.log.topics import TopicNames
from streams.rating.loop import RatingLoop
from streams.rating.partition import Wiring
from streams.state.store import MemoryState
from tests.sizes import times_size
from tests.streams.simulation import read_book_once
from tests.streams.traffic import BOOK, HOUR, START, Traffic, book_command

pytestmark = pytest.mark.slow

EVENTS = times_size(20_000)
NAMES = TopicNames("explained")
PARTITIONS = 3
DAY = 24 * HOUR
GROUP = 200
ACCEPT = 3 * DAY

ALL = BOOK + (
    """
      - {charge: visit, when: {endpoint: /visit}, credits: 4, unique: {by: [attributes.who, ip], within: calendar_day}}
      - {charge: mailbox, when: {endpoint: /person, attributes.kind: [job*, mail]}, credits: 2, plans: {big: 0}}
  - version: "two"
    effective_from: 2026-01-03T00:00:00Z
    charges:
      - {charge: lookup, when: {endpoint: /lookup}, credits: 25, plans: {big: 20}, unique: {by: [ip], within: 7d}}
      - {charge: company, when: {endpoint: /company*}, credits: 11, unique: {by: [domain], within: ever}}
      - {charge: visit, when: {endpoint: /visit}, credits: 4, unique: {by: [attributes.who, ip], within: calendar_day}}
      - {charge: mail, when: {endpoint: /person}, per: emails, credits: 4, credit_type: email}
"""
)
SAME = {"::ffff:192.0.2.1": "192.0.2.1", "www.Example.com.": "example.com"}
WINDOW = {("lookup", "one"): DAY, ("lookup", "two"): 7 * DAY}


class LongTraffic(Traffic):
    """Batches of 25 events between everything else, less time between them, and plans that events name."""

    def messages(self, count: int) -> list[tuple[int, int, bytes]]:
        """The book, then ``count`` messages."""
        first = self.codec.encode("PriceBook", book_command(ALL, self.now))
        made = [(partition, self.now, first) for partition in range(self.partitions)]
        for _ in range(count):
            self.now += self.random.choice((1, 1_000, 60_000, HOUR // 2))
            made.append(self._batch() if self.random.random() < 0.6 else self._message())
        return made

    def _batch(self) -> tuple[int, int, bytes]:
        partition = partition_of(self.random.choice(self.accounts), self.partitions)
        own = [account for account in self.accounts if partition_of(account, self.partitions) == partition]
        events = [self._event(self.random.choice(own)) for _ in range(25)]
        return partition, self.now, self.codec.encode("RequestBatch", {"events": events})

    def _event(self, account_id: str) -> dict[str, Any]:
        event = super()._event(account_id)
        if self.random.random() < 0.3:
            event["endpoint"] = "/visit"
        if event["ip"] is not None and self.random.random() < 0.5:
            event["ip"] = f"198.51.100.{self.random.randrange(256)}"
        event["plan"] = self.random.choice((None, None, None, None, "big", "small"))
        event["attributes"] = {"who": self.random.choice("xyz"), "kind": self.random.choice(("jobs", "other"))}
        return event

    def _account(self, account_id: str) -> tuple[str, dict[str, Any]]:
        name, update = super()._account(account_id)
        if update["plan"] is not None and self.random.random() < 0.3:
            update["plan"] |= {"started_at": YEAR_2000}
        return name, update | {"on_empty": self.random.choice(("allow", "allow", "reject"))}

    def _grant(self, account_id: str) -> tuple[str, dict[str, Any]]:
        name, grant = super()._grant(account_id)
        return name, grant | {"credits": grant["credits"] * self.random.choice((1, 100, 500))}

    def _refund(self, account_id: str) -> tuple[str, dict[str, Any]]:
        name, request = super()._refund(account_id)
        if self.sent[account_id] and self.random.random() < 0.7:
            priced = [event for event in self.sent[account_id][-200:] if event["outcome"] == "processed"]
            request["event_id"] = self.random.choice(priced)["event_id"] or "event-of-nobody"
        return name, request

    def _price_book(self, _account_id: str) -> tuple[str, dict[str, Any]]:
        return "PriceBook", book_command(ALL, self.now)


class Run:
    """The traffic rated, and what a reader takes from the output topics."""

    def __init__(self) -> None:
        codec, broker = Codec(), MemoryBroker()
        traffic = LongTraffic(4, PARTITIONS, codec, accounts=4)
        self.accounts = traffic.accounts
        for partition, timestamp, value in traffic.messages(EVENTS // 15 + 100):
            broker.append(NAMES.requests, partition, value, timestamp, producer="test")
        log = MemoryInputLog(broker, NAMES.requests)
        out = MemoryOutputLog(broker, read_position)
        loop = RatingLoop(Wiring(NAMES, PARTITIONS, codec, read_book_once, log, out), lambda _: MemoryState())
        for partition in range(PARTITIONS):
            waiting = log.read(partition, *log.bounds(partition))
            while group := list(islice(waiting, GROUP)):
                loop.process(group)
        self.source = ReplaySource(NAMES, PARTITIONS, codec, read_book_once, log)
        self.billed = self._read(broker, NAMES.billed)
        self.letters = self._read(broker, NAMES.dead_letters)
        self.refunds = self._read(broker, NAMES.refunds)

    def _read(self, broker: MemoryBroker, topic: str) -> dict[tuple[int, int], list[dict[str, Any]]]:
        """What is in a topic, decoded, by partition and source offset."""
        by_place: dict[tuple[int, int], list[dict[str, Any]]] = {}
        for partition in range(PARTITIONS):
            for message in broker.records(topic, partition):
                name, batch = Codec().decode(message.value)
                by_place.setdefault((partition, batch["source_offset"]), []).extend(batch[BATCHES[name]])
        return by_place

    def end(self, partition: int) -> int:
        return self.source.input_log.bounds(partition)[1]

    def walk(self, account_id: str) -> Iterator[tuple[ReplayedCommand, Explanation | None]]:
        """The account's commands; of events what is explained, each given before it is applied."""
        replay = AccountReplay(self.source, account_id, beginning())
        for step in replay.commands(self.end(replay.partition)):
            is_event = step.command == "request"
            yield step, explain_event(replay.state, step.record, step.message.timestamp) if is_event else None
            replay.apply(step)


@pytest.fixture(scope="module")
def run() -> Run:
    return Run()


def covers(window: str, length: int, owner_at: int, at: int) -> bool:
    if window == "rolling":
        return abs(at - owner_at) < length
    return window == "ever" or at // DAY == owner_at // DAY


class Bookkeeper:
    """Reads the bill of one account as somebody who has only the bill: who paid for what, and what was given back."""

    def __init__(self) -> None:
        self.paid: dict[tuple[Any, ...], list[tuple[int, str, int | None]]] = {}
        self.subject_of: dict[tuple[str, str], tuple[Any, ...]] = {}

    def check(self, line: LineStory, stream_time: int) -> None:
        billed = line.line
        decision = billed["decision"]
        assert all(condition.holds for condition in line.conditions)
        assert (line.unique is None) or line.unique.window in {"rolling", "calendar_day", "ever"}
        if billed["charge"] is None:
            assert decision in {Decision.NOT_BILLABLE, Decision.UNPRICED}
            return
        assert billed["units"] == (billed["quantities"].get(line.per, 0) if line.per else 1)
        assert line.plan_price or billed["unit_credits"] == line.base_credits
        assert line.balance_before == billed["balance_after"] + billed["credits"]
        assert sum(draw.credits for draw in line.draws) + line.debt == billed["credits"]
        assert [(draw.grant_id, draw.credits) for draw in line.draws] == [
            tuple(u.values()) for u in billed["grants_used"]
        ]
        assert all(draw.left_before - draw.credits == draw.left_after >= 0 for draw in line.draws)
        assert all(draw.expires_at is None or draw.expires_at > billed["occurred_at"] for draw in line.draws)
        if decision == Decision.CHARGED:
            assert billed["credits"] == billed["units"] * billed["unit_credits"] > 0
        else:
            assert billed["credits"] == line.debt == 0
        if line.unique is not None and decision in {Decision.CHARGED, Decision.DUPLICATE}:
            self._check_subject(line, stream_time)

    def _check_subject(self, line: LineStory, stream_time: int) -> None:
        billed, unique = line.line, line.unique
        assert unique is not None
        at, charge = billed["occurred_at"], billed["charge"]
        values = [
            billed.get(subject.field) or billed["attributes"].get(subject.field[11:]) for subject in unique.subjects
        ]
        assert [subject.given for subject in unique.subjects] == values
        assert [subject.compared for subject in unique.subjects] == [SAME.get(value, value) for value in values]
        subject = (charge, *(subject.compared for subject in unique.subjects))
        owners = self.paid.setdefault(subject, [])
        stream_time = max(stream_time, at)
        known = [claim for claim in owners if claim[2] is None or stream_time - claim[0] <= ACCEPT + claim[2]]
        cover = [claim for claim in known if covers(unique.window, unique.window_ms, claim[0], at)]
        if unique.window == "rolling":
            assert unique.window_ms == WINDOW[charge, billed["price_version"]]
        if billed["decision"] == Decision.CHARGED:
            assert (cover, unique.owner) == ([], None)
            last = max((claim for claim in known if claim[0] <= at), default=None)
            assert (unique.earlier and unique.earlier.event_id) == (last and last[1])
            owners.append((at, billed["event_id"], None if unique.window == "ever" else unique.window_ms))
            self.subject_of[billed["event_id"], charge] = subject
            return
        owner = unique.owner
        assert owner is not None
        before, after = [claim for claim in cover if claim[0] <= at], [claim for claim in cover if claim[0] > at]
        assert owner.occurred_at == (max(before) if before else min(after))[0]
        assert owner.event_id in {claim[1] for claim in cover if claim[0] == owner.occurred_at}
        assert (owner.event_id, owner.ends_at) == (billed["owner_event_id"], billed["window_ends_at"])
        day_end, length_end = (owner.occurred_at // DAY + 1) * DAY, owner.occurred_at + unique.window_ms
        assert owner.ends_at == {"rolling": length_end, "calendar_day": day_end, "ever": None}[unique.window]

    def note(self, refund: dict[str, Any]) -> None:
        """A charge given back in full has paid for nothing."""
        if refund["status"] == "refunded" and refund["remaining_charge"] == 0:
            subject = self.subject_of.pop((refund["event_id"], refund["charge"]), None)
            if subject is not None:
                self.paid[subject] = [payment for payment in self.paid[subject] if payment[1] != refund["event_id"]]


def check_prices(story: Explanation) -> None:
    price, plan = story.price, story.plan
    assert plan is not None
    at = story.event["occurred_at"]
    assert (price is None) == (story.event["outcome"] != "processed")
    if price is None:
        return
    second = START + 2 * DAY
    assert price.unlocked == ("two" if at >= second else "one")
    if price.lock is LockReason.LOCKED:
        own = plan.account_plan
        assert own is not None
        assert (own.counts, own.name, own.started_at) == (True, plan.name, price.chosen_at)
        assert price.version == ("two" if own.started_at >= second else "one")
    else:
        assert (price.version, price.chosen_at, price.reason) == (price.unlocked, at, VersionReason.IN_FORCE)


def test_every_line_is_explained_as_it_was_billed(run: Run) -> None:
    events = lines = 0
    kinds: Counter[tuple[Any, ...]] = Counter()
    for account_id in run.accounts:
        keeper = Bookkeeper()
        explained: dict[tuple[int, int], list[dict[str, Any]]] = {}
        refused: list[tuple[Any, ...]] = []
        for step, story in run.walk(account_id):
            place = (step.message.partition, step.message.offset)
            if story is None:
                for refund in run.refunds.get(place, []) if step.command == "refund" else []:
                    keeper.note(refund)
                continue
            events += 1
            if story.refusal is not None:
                refused.append((*place, step.index, story.refusal.reason, story.refusal.field))
                kinds[story.refusal.reason, story.refusal.field] += 1
                continue
            if story.repeat_of is not None:
                kinds["repeated",] += 1
                continue
            check_prices(story)
            explained.setdefault(place, []).extend(line.line for line in story.lines)
            for line in story.lines:
                keeper.check(line, -1 if story.stream_time is None else story.stream_time)
                kinds[line.line["decision"], story.price and story.price.reason, story.price and story.price.lock] += 1
        mine = {
            at: [line for line in records if line["account_id"] == account_id] for at, records in run.billed.items()
        }
        assert explained == {at: records for at, records in mine.items() if records}
        letters = [
            (*at, letter["index"], letter["reason"], letter["field"])
            for at, records in run.letters.items()
            for letter in records
            if (letter["account_id"], letter["command"]) == (account_id, "request")
            and letter["reason"] != "wrong_partition"
        ]
        assert refused == sorted(letters)
        lines += sum(map(len, explained.values()))
    assert lines == sum(map(len, run.billed.values()))
    assert events >= EVENTS
    decisions = {kind[0] for kind in kinds}
    assert decisions >= {*Decision, "repeated", "too_late", "in_future", "invalid_event"}
    assert {kind[1:] for kind in kinds if kind[0] == Decision.CHARGED} == {
        (VersionReason.PLAN_LOCK, LockReason.LOCKED),
        (VersionReason.FIRST_VERSION, LockReason.LOCKED),
        (VersionReason.IN_FORCE, LockReason.OTHER_PLAN),
        (VersionReason.IN_FORCE, LockReason.NO_PLAN),
    }


def test_whole_stories(run: Run) -> None:
    """Of events that were refunded: what was given back since, and the present."""
    for account_id in run.accounts[:4]:
        partition = partition_of(account_id, PARTITIONS)
        refunded = [
            (at, refund)
            for at, records in run.refunds.items()
            for refund in records
            if (refund["account_id"], refund["status"]) == (account_id, "refunded")
        ]
        (_, offset), refund = refunded[len(refunded) // 2]
        replay = AccountReplay(run.source, account_id, beginning())
        story = replay_story(replay, refund["event_id"], run.end(partition), now=START + 400 * DAY)
        subject = story.subject
        assert subject is not None
        assert offset in {attempt.place.offset for attempt in story.refunds_since}
        billed = [
            line
            for line in run.billed[partition, subject.place.offset]
            if (line["account_id"], line["event_id"]) == (account_id, refund["event_id"])
        ]
        assert differences([line.line for line in subject.explanation.lines], billed) == []
        billed[0] = billed[0] | {"credits": 4_242}
        assert "credits is 4242" in differences([line.line for line in subject.explanation.lines], billed)[0]
        assert differences([line.line for line in subject.explanation.lines], billed[1:])
        wanted = [
            refund for at, refund in refunded if at[1] > subject.place.offset and refund["event_id"] == story.event_id
        ]
        assert [
            output for attempt in story.refunds_since for output in attempt.outputs if output["line"] is not None
        ] == wanted
        assert story.present is not None
        assert story.present.explanation.lines
