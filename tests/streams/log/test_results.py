"""What one command caused, found in the output topics: exactly its own, whatever else is there."""

import threading
from collections.abc import Sequence
from typing import Any

import pytest

from metering import MemoryStore, State
from schemas.codec import Codec
from schemas.price_book import read_book
from streams.log.memory import MemoryBroker, MemoryInputLog, MemoryOutputLog
from streams.log.results import NotDecided, Results
from streams.log.topics import TopicNames
from streams.rating.deciding import apply_message
from streams.rating.outputs import encoded, topics_by_kind
from streams.rating.partition import Wiring

NAMES = TopicNames()
NOW = 1_770_000_000_000
SECOND = 1_000


class Pipeline:
    """One partition: its log, its outputs, and how far a worker says that it is."""

    def __init__(self) -> None:
        self.broker, self.codec = MemoryBroker(), Codec()
        self.acknowledged = 0
        self.asked = 0
        self.lag_of_clock = 0
        self.is_silent = False
        commands = MemoryInputLog(self.broker, NAMES.requests)
        out = MemoryOutputLog(self.broker, self.codec.read_position)
        self._wiring = Wiring(NAMES, 1, self.codec, read_book, commands, out)
        self._state = State(MemoryStore(), read_book)
        outputs = {topic: MemoryInputLog(self.broker, topic) for topic in NAMES.outputs}
        self.results = Results(NAMES, 1, self.codec, commands, outputs, self)

    def committed(self, topics: Sequence[str], partitions: int) -> dict[tuple[str, int], int]:
        """The group's progress; the worker rates what is there at the third question."""
        self.asked += 1
        if self.asked == 3:
            self.rate()
        return {(NAMES.requests, 0): self.acknowledged} if self.acknowledged and not self.is_silent else {}

    def put(self, name: str, record: dict[str, Any]) -> int:
        offset = self.broker.bounds(NAMES.requests, 0)[1]
        return self.broker.append(NAMES.requests, 0, self.codec.encode(name, record), NOW + offset * SECOND)

    def grant(self, number: int) -> int:
        record = {
            "grant_id": f"g{number}", "account_id": "acme", "credit_type": "credit", "credits": 10 + number,
            "granted_at": NOW, "expires_at": None, "reason": "",
        }  # fmt: skip
        return self.put("Grant", record)

    def rate(self) -> None:
        for message in self.broker.records(NAMES.requests, 0)[self.acknowledged :]:
            outputs = apply_message(self._wiring, self._state, message)
            self.acknowledged = message.offset + 1
            for topic, _, value in encoded(self.codec, topics_by_kind(NAMES), outputs, 0, message.offset):
                self.broker.append(topic, 0, value, message.timestamp - self.lag_of_clock)

    def grants(self, offset: int) -> list[str]:
        caused = self.results.caused_by(0, [offset]).get(offset, {})
        assert set(caused) <= {NAMES.grants}
        return [record["grant_id"] for record in caused.get(NAMES.grants, [])]


@pytest.fixture
def pipeline() -> Pipeline:
    return Pipeline()


def test_waits_until_the_worker_has_passed_it(pipeline: Pipeline) -> None:
    offset = pipeline.grant(0)
    said: list[str] = []
    caused = pipeline.results.wait(0, offset, 20, said.append)
    assert pipeline.asked == 3
    assert said
    (record,) = caused[NAMES.grants]
    assert (record["grant_id"], record["balance_after"]) == ("g0", 10)
    assert list(caused) == [NAMES.grants]


def test_without_a_worker_it_says_that_nothing_is_lost(pipeline: Pipeline) -> None:
    offset = pipeline.grant(0)
    with pytest.raises(NotDecided, match=r"credits\.requests\[0\]@0\. .*sending it again with the same id is safe"):
        pipeline.results.wait(0, offset, 0)


def test_a_repeat_causes_nothing(pipeline: Pipeline) -> None:
    pipeline.grant(0)
    again = pipeline.grant(0)
    pipeline.rate()
    assert pipeline.results.wait(0, again, 1) == {}
    assert pipeline.grants(0) == ["g0"]


def test_each_of_many_is_found_among_the_others(pipeline: Pipeline) -> None:
    for number in range(200):
        pipeline.grant(number)
    pipeline.rate()
    assert [pipeline.grants(offset) for offset in (0, 1, 100, 198, 199)] == [
        ["g0"], ["g1"], ["g100"], ["g198"], ["g199"],
    ]  # fmt: skip
    outputs = pipeline.results.caused_by(0, [3, 150, 7])
    assert {offset: caused[NAMES.grants][0]["grant_id"] for offset, caused in outputs.items()} == {
        3: "g3", 7: "g7", 150: "g150",
    }  # fmt: skip


@pytest.mark.parametrize("lag", [-3_600 * SECOND, 0, 3_600 * SECOND])
def test_the_clocks_of_two_brokers_may_differ(pipeline: Pipeline, lag: int) -> None:
    """Outputs stamped an hour before or after their inputs are found none the less."""
    pipeline.lag_of_clock = lag
    for number in range(200):
        pipeline.grant(number)
    pipeline.rate()
    assert [pipeline.grants(offset) for offset in (0, 120, 199)] == [["g0"], ["g120"], ["g199"]]


def test_what_a_late_worker_sent_again_is_taken_once(pipeline: Pipeline) -> None:
    for number in range(6):
        pipeline.grant(number)
    pipeline.rate()
    for message in pipeline.broker.records(NAMES.grants, 0)[:4]:
        pipeline.broker.append(NAMES.grants, 0, message.value, message.timestamp + 60 * SECOND)
    pipeline.broker.append(NAMES.grants, 0, b"no worker wrote this", NOW + 100 * SECOND)
    assert [pipeline.grants(offset) for offset in (1, 5)] == [["g1"], ["g5"]]


def test_parts_of_one_message_come_together(pipeline: Pipeline) -> None:
    events = [
        {
            "event_id": f"e{number}", "account_id": "acme", "occurred_at": NOW, "endpoint": "/x", "channel": "api",
            "outcome": "processed", "attributes": {f"a{number}": "x" * 1_000 for number in range(20)},
        }
        for number in range(60)
    ]  # fmt: skip
    offset = pipeline.put("RequestBatch", {"events": events})
    pipeline.rate()
    assert len(pipeline.broker.records(NAMES.billed, 0)) > 1
    lines = pipeline.results.wait(0, offset, 1)[NAMES.billed]
    assert [line["event_id"] for line in lines] == [f"e{number}" for number in range(60)]


def test_an_answer_is_seen_before_any_acknowledgement(pipeline: Pipeline) -> None:
    """Of whatever became of it: applied, repeated, set aside, or an event with lines."""
    event = {
        "event_id": "e", "account_id": "acme", "occurred_at": NOW, "endpoint": "/x", "channel": "api",
        "outcome": "processed",
    }  # fmt: skip
    first = pipeline.put("RequestBatch", {"events": [event, event | {"event_id": "bad", "ip": "nowhere"}]})
    again = pipeline.put("RequestBatch", {"events": [event, event | {"attributes": {"a": "x"}}]})
    granted, repeated = pipeline.grant(0), pipeline.grant(0)
    pipeline.is_silent = True
    pipeline.rate()
    for offset in (first, again, granted, repeated):
        pipeline.results.wait_until_decided({0: offset}, 1)
    answers = pipeline.results.answers(0, [first, again, granted, repeated])
    assert [line["event_id"] for line in answers[first].lines] == ["e"]
    assert [(letter["index"], letter["reason"], letter["field"]) for letter in answers[first].set_aside] == [
        (1, "invalid_event", "ip")
    ]
    assert answers[again].lines == []
    assert [
        (repeat["index"], repeat["same_content"], repeat["first_offset"], repeat["first_index"])
        for repeat in answers[again].repeated
    ] == [(0, True, first, 0), (1, False, first, 0)]
    assert answers[granted].applied == [{"command": "grant", "id": "g0"}]
    assert answers[repeated].applied == []
    (repeat,) = answers[repeated].repeated
    assert (repeat["command"], repeat["id"], repeat["index"]) == ("grant", "g0", None)
    assert (repeat["same_content"], repeat["first_offset"], repeat["first_index"]) == (True, granted, None)
    with pytest.raises(NotDecided):
        pipeline.results.wait_until_decided({0: pipeline.grant(1)}, 0.05)


def test_a_message_without_events_and_one_that_nobody_can_read_are_answered(pipeline: Pipeline) -> None:
    empty = pipeline.put("RequestBatch", {"events": []})
    poison = pipeline.broker.append(NAMES.requests, 0, b"poison", NOW + 10 * SECOND)
    book = pipeline.put("PriceBook", {"book_id": "wrong", "yaml": "x", "published_at": NOW})
    pipeline.rate()
    answers = pipeline.results.answers(0, [empty, poison, book])
    assert answers[empty] == ([], [], [], [])
    assert answers[poison].set_aside == [
        {"index": None, "command": None, "id": None, "reason": "undecodable", "field": None}
    ]
    assert book not in answers  # a price book concerns no account


def test_an_answer_in_parts_is_there_with_its_last_part(pipeline: Pipeline) -> None:
    events = [
        {
            "event_id": f"e{number}", "account_id": "acme", "occurred_at": NOW, "endpoint": "/x", "channel": "api",
            "outcome": "processed", "attributes": {f"a{number}": "x" * 1_000 for number in range(20)},
        }
        for number in range(60)
    ]  # fmt: skip
    offset = pipeline.put("RequestBatch", {"events": events})
    pipeline.is_silent = True
    pipeline.rate()
    whole = pipeline.broker.records(NAMES.billed, 0)
    cut = Pipeline()
    cut.put("RequestBatch", {"events": events})
    for message in whole[:-1]:
        cut.broker.append(NAMES.billed, 0, message.value, message.timestamp)
    with pytest.raises(NotDecided):
        cut.results.wait_until_decided({0: offset}, 0.02)
    pipeline.results.wait_until_decided({0: offset}, 1)


def test_what_its_own_topic_must_hold_is_waited_for(pipeline: Pipeline) -> None:
    """Topics are written side by side: the answer may be seen first."""
    offset = pipeline.grant(0)
    pipeline.rate()
    late = Pipeline()
    late.grant(0)
    (answer,) = pipeline.broker.records(NAMES.billed, 0)
    late.broker.append(NAMES.billed, 0, answer.value, answer.timestamp)
    (change,) = pipeline.broker.records(NAMES.grants, 0)
    timer = threading.Timer(0.1, lambda: late.broker.append(NAMES.grants, 0, change.value, change.timestamp))
    timer.start()
    assert late.grants(offset) == ["g0"]
    timer.join()
