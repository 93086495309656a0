"""From outputs to deliveries, through crashes and moves: nothing lost, doubles with the same id."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from application.webhooks import work
from application.webhooks.announcements import Announcements
from application.webhooks.events import EventSequence, EventType
from application.webhooks.messages import message_id
from application.webhooks.schedule import TRIES, dropped, sent_again
from streams.deliveries.records import Delivery, DeliveryPosition, DeliveryStatus
from streams.deliveries.topic import Written
from streams.log.memory import MemoryInputLog
from streams.log.protocols import LogChanged, LogError
from tests.application.webhooks.cluster import CODEC, NAMES, SEALER, Cluster, Process
from tests.application.webhooks.examples import DAY, HOUR, MINUTE, NOW, SECOND, a_webhook, refused, taken
from tests.application.webhooks.test_announcements import ONE, TWO, Log
from tests.sizes import examples


def the_id(offset: int, webhook_id: str = "wh_1", index: int = 0, partition: int = 0) -> str:
    return message_id("log-1", EventType.BALANCE_BELOW, EventSequence(partition, offset, 0, index), webhook_id)


def statuses(cluster: Cluster) -> dict[str, DeliveryStatus]:
    return {name: delivery.status for name, delivery in cluster.newest().items()}


def test_an_output_becomes_a_delivery_that_is_written_before_it_is_tried_and_then_delivered() -> None:
    cluster = Cluster()
    process = cluster.process()
    cluster.output()
    process.follow()
    assert statuses(cluster) == {the_id(0): DeliveryStatus.PENDING}
    assert isinstance(cluster.records()[-1], DeliveryPosition)
    process.step()
    assert statuses(cluster) == {the_id(0): DeliveryStatus.DELIVERED}
    process.step()
    assert (cluster.received, process.work.pending) == ([the_id(0)], 0)


def test_a_webhook_that_was_added_before_something_happened_is_told_of_it() -> None:
    cluster = Cluster()
    cluster.webhooks = {}
    process = cluster.process()
    cluster.added = {"wh_1": a_webhook()}
    cluster.output()
    process.step()
    assert cluster.received == [the_id(0)]


def test_each_webhook_that_wants_it_gets_one_and_what_nobody_wants_makes_no_record() -> None:
    cluster = Cluster()
    cluster.webhooks = {
        webhook.webhook_id: webhook
        for webhook in (a_webhook("wh_1"), a_webhook("wh_2", None), a_webhook("wh_3", "other"))
    }
    process = cluster.process()
    cluster.output(items=[{}, {"account_id": "other"}, {"account_id": "third", "kind": "empty"}])
    process.step()
    assert sorted(cluster.received) == sorted(
        [the_id(0), the_id(0, "wh_2"), the_id(0, "wh_3", 1), the_id(0, "wh_2", 1),
         message_id("log-1", EventType.BALANCE_EMPTY, EventSequence(0, 0, 0, 2), "wh_2")]
    )  # fmt: skip
    before = len(cluster.records())
    cluster.webhooks = {}
    cluster.output()
    process.step()
    assert len(cluster.records()) == before


def test_what_is_read_without_any_delivery_is_remembered_now_and_then() -> None:
    cluster = Cluster()
    cluster.webhooks = {}
    process = cluster.process()
    for _ in range(10):
        cluster.output()
        process.step()
    assert cluster.records() == []
    cluster.now += 31 * SECOND
    process.step()
    positions = [record for record in cluster.records() if isinstance(record, DeliveryPosition)]
    assert {position.next_offset for position in positions if position.topic == NAMES.alerts} == {0, 10}
    process.share.close()
    cluster.webhooks = {"wh_1": a_webhook()}
    cluster.process().step()
    assert cluster.received == []


def test_an_output_that_is_there_twice_makes_one_delivery() -> None:
    cluster = Cluster()
    process = cluster.process()
    cluster.output()
    cluster.output()
    cluster.output(offset=0)
    process.step()
    process.share.close()
    cluster.output(offset=1)
    cluster.process().step()
    assert sorted(cluster.received) == sorted([the_id(0), the_id(1)])


def test_a_record_that_no_worker_wrote_tells_nobody_anything(caplog: pytest.LogCaptureFixture) -> None:
    cluster = Cluster()
    process = cluster.process()
    cluster.output(sealed=False)
    cluster.broker.append(
        NAMES.deliveries,
        0,
        CODEC.encode("DeliveryPosition", DeliveryPosition(topic="x", next_offset=9, at=1).fields()),
        key=b"k",
    )
    process.step()
    assert (cluster.received, process.strays) == ([], [NAMES.alerts])
    assert f"{NAMES.alerts}[0]@0: a stray record" in caplog.text
    assert f"{NAMES.deliveries}[0]@0: a stray record" in caplog.text


def test_a_sealed_record_that_cannot_be_read_ends_the_work() -> None:
    cluster = Cluster()
    process = cluster.process()
    cluster.broker.append(NAMES.alerts, 0, b"junk", headers={"seal": SEALER.seal(NAMES.alerts, 0, b"junk")})
    with pytest.raises(LogError, match=r"t.alerts\[0\]@0"):
        process.step()


def test_a_new_deliverer_begins_where_the_oldest_webhook_did() -> None:
    cluster = Cluster()
    cluster.output()
    cluster.now += HOUR
    cluster.webhooks = {"wh_1": a_webhook(created_at=cluster.now)}
    cluster.output()
    process = cluster.process()
    assert min(message.message.offset for message in process.share.poll(0) if message.topic == NAMES.alerts) == 1
    cluster.process().step()
    assert cluster.received == [the_id(1)]


def test_a_log_that_was_made_again_is_refused_and_one_that_was_trimmed_is_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster = Cluster()
    process = cluster.process()
    for _ in range(3):
        cluster.output()
        process.step()
    process.share.close()
    for _ in range(3):
        cluster.output()
    cluster.broker.expire(NAMES.alerts, 0, 5)
    cluster.process().step()
    assert cluster.received == [the_id(offset) for offset in (0, 1, 2, 5)]
    assert "t.alerts[0]: retention deleted offsets 3 to 4" in caplog.text
    cluster.broker._next[NAMES.alerts, 0] = 1
    with pytest.raises(LogChanged, match=r"t.alerts\[0\] ends at 1"):
        cluster.process()


def test_failures_are_tried_again_until_the_receiver_is_back() -> None:
    cluster = Cluster()
    cluster.react = lambda _delivery: refused(cluster.now) if cluster.now < NOW + HOUR else taken(cluster.now)
    process = cluster.process()
    cluster.output()
    while the_id(0) not in statuses(cluster) or statuses(cluster)[the_id(0)] is DeliveryStatus.PENDING:
        process.step()
        cluster.now += SECOND * 30
    delivery = cluster.newest()[the_id(0)]
    assert (delivery.status, len(delivery.attempts)) == (DeliveryStatus.DELIVERED, delivery.tries)
    assert [attempt.status_code for attempt in delivery.attempts[-2:]] == [500, 200]
    assert cluster.turned_off == []


def test_a_webhook_goes_off_by_410_and_what_waits_for_it_is_dropped_until_it_is_on_again() -> None:
    cluster = Cluster()
    cluster.react = lambda delivery: refused(cluster.now, 410 if delivery.delivery_id == the_id(0) else 500)
    process = cluster.process()
    cluster.output(items=[{}, {}])
    process.step()
    assert cluster.turned_off == [("wh_1", "it answered 410 Gone: nothing is wanted there any more")]
    cluster.webhooks["wh_1"] = a_webhook(disabled_at=cluster.now)
    cluster.now += 2 * SECOND
    process.step()
    cluster.output()
    process.step()
    assert statuses(cluster) == {the_id(0): DeliveryStatus.FAILED, the_id(0, index=1): DeliveryStatus.DROPPED}
    assert cluster.newest()[the_id(0, index=1)].reason == "the webhook is off"
    cluster.now += HOUR
    process.step()
    assert len(cluster.received) == 2
    cluster.webhooks["wh_1"] = a_webhook()
    cluster.react = lambda _delivery: taken(cluster.now)
    cluster.output()
    process.step()
    assert statuses(cluster)[the_id(2)] is DeliveryStatus.DELIVERED


def test_three_days_without_a_success_turn_it_off_also_through_restarts() -> None:
    cluster = Cluster()
    cluster.react = lambda _delivery: refused(cluster.now)
    process = cluster.process()
    while not cluster.turned_off:
        cluster.output()
        process.step()
        if (cluster.now - NOW) % DAY == 0:
            process.share.close()
            process = cluster.process()
        cluster.now += 6 * HOUR
        assert cluster.now < NOW + 5 * DAY
    assert NOW + 3 * DAY < cluster.now < NOW + 4 * DAY
    assert cluster.turned_off[0] == ("wh_1", "no try has succeeded for three days; the last one: 500 no")


@pytest.mark.parametrize("is_restarted", [False, True])
def test_one_that_is_on_again_is_not_turned_off_for_what_failed_before(is_restarted: bool) -> None:
    """Nothing waited when it went off, so that nothing was dropped: both messages had failed for good."""
    cluster = Cluster()
    cluster.react = lambda _delivery: refused(cluster.now)
    process = cluster.process()
    cluster.output(items=[{}, {}])
    while DeliveryStatus.PENDING in statuses(cluster).values() or not cluster.received:
        process.step()
        cluster.now += HOUR
    cluster.turned_off.clear()
    cluster.webhooks["wh_1"] = a_webhook(enabled_at=cluster.now)
    if is_restarted:
        process.share.close()
        process = cluster.process()
    cluster.now += HOUR
    cluster.output(items=[{}, {}])
    process.step()
    assert len(cluster.received) == 2 * TRIES + 2
    assert cluster.turned_off == []


def test_a_try_that_began_before_it_was_on_again_does_not_turn_it_off() -> None:
    """Two were under way: the first 410 turned it off, its owner gave it another address, then the second came."""
    cluster = Cluster()
    process = cluster.process()
    cluster.output(items=[{}, {}])
    process.follow()
    cluster.react = lambda _delivery: refused(NOW, 410)
    first, second = [process.tried(*placed) for placed in process.tries.due(cluster.now)]
    process.work.results([first])
    assert len(cluster.turned_off) == 1
    cluster.now += SECOND
    cluster.webhooks["wh_1"] = a_webhook(enabled_at=cluster.now)
    process.work.results([second])
    assert len(cluster.turned_off) == 1


def test_what_another_process_writes_is_done_and_what_it_finished_is_not() -> None:
    """Somebody sends one again by the API; another deliverer ends one that waits here."""
    cluster = Cluster()
    process = cluster.process()
    cluster.output()
    process.step()
    (delivery,) = cluster.newest().values()
    cluster.topic().write([Written(0, sent_again(delivery, "by hand", cluster.now))])
    process.step()
    assert cluster.received == [the_id(0)] * 2
    assert cluster.newest()[the_id(0)].status is DeliveryStatus.DELIVERED
    cluster.output()
    process.follow()
    waiting = cluster.newest()[the_id(1)]
    cluster.topic().write([Written(0, dropped(waiting, "by another", cluster.now))])
    process.step()
    assert cluster.received == [the_id(0)] * 2


def test_old_records_that_come_back_after_a_move_undo_nothing() -> None:
    cluster = Cluster()
    process = cluster.process()
    cluster.output()
    process.step()
    process.share.assign([1])
    process.share.assign([0, 1])
    process.share._next[NAMES.deliveries, 0] = 0
    process.step()
    assert cluster.received == [the_id(0)]


def test_a_result_that_comes_after_a_move_is_written_only_where_the_message_was_taken() -> None:
    cluster = Cluster()
    cluster.webhooks = {"wh_1": a_webhook(), "wh_2": a_webhook("wh_2")}
    cluster.react = lambda delivery: taken(cluster.now) if delivery.webhook_id == "wh_1" else refused(cluster.now)
    process = cluster.process()
    cluster.output()
    process.follow()
    results = [process.tried(*placed) for placed in process.tries.due(cluster.now)]
    process.share.assign([])
    process.work.results(results)
    assert statuses(cluster) == {the_id(0): DeliveryStatus.DELIVERED, the_id(0, "wh_2"): DeliveryStatus.PENDING}


def test_what_is_long_over_is_removed_and_what_waits_never_is() -> None:
    cluster = Cluster()
    cluster.react = lambda delivery: taken(cluster.now) if delivery.delivery_id == the_id(0) else refused(cluster.now)
    process = cluster.process()
    cluster.output(items=[{}, {}])
    process.step()
    cluster.now += work.KEPT_MS + MINUTE
    cluster.fault = lambda: None
    process.work.tick()
    cluster.broker.compact(NAMES.deliveries, 0)
    assert set(cluster.newest()) == {the_id(0, index=1)}
    process.step()
    assert cluster.received[-1] == the_id(0, index=1)


def test_more_messages_than_may_wait_are_kept_and_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "MOST_WAITING", 2)
    cluster = Cluster()
    cluster.react = lambda _delivery: refused(cluster.now)
    process = cluster.process()
    for _ in range(3):
        cluster.output()
        process.step()
    (kept,) = [delivery for delivery in cluster.newest().values() if delivery.status is DeliveryStatus.DROPPED]
    assert (kept.delivery_id, kept.reason) == (the_id(2), "more than 2 messages wait for it")


class Died(Exception):
    """The process ends here."""


@pytest.mark.slow
@settings(max_examples=examples(60))
@given(st.integers(0, 2**32))
def test_through_crashes_and_moves_nothing_is_lost_and_doubles_are_known_by_their_ids(seed: int) -> None:
    """Two processes share the partitions; each may die before any write, which nobody tells the other."""
    chance = random.Random(seed)
    cluster = Cluster(partitions=3)
    cluster.webhooks = {"wh_1": a_webhook(), "wh_2": a_webhook("wh_2", None)}

    def fault() -> None:
        if chance.random() < 0.05:
            raise Died

    def react(_delivery: Delivery) -> Any:
        return taken(cluster.now) if chance.random() < 0.6 else refused(cluster.now)

    cluster.react, expected = react, set()
    shares = [[0, 1], [2]]

    def begun(number: int) -> Process | None:
        try:
            return cluster.process(*shares[number])
        except Died:
            return None

    cluster.fault = fault
    processes = [begun(0), begun(1)]
    for _ in range(60):
        if chance.random() < 0.5:
            partition = chance.randrange(3)
            offset = cluster.output(partition=partition)
            expected |= {the_id(offset, webhook, 0, partition) for webhook in cluster.webhooks}
        if chance.random() < 0.1:
            shares.reverse()
            processes = [begun(0), begun(1)]
        number = chance.randrange(2)
        process = processes[number]
        try:
            if process is None:
                processes[number] = begun(number)
            else:
                process.step()
        except Died:
            processes[number] = begun(number)
        if chance.random() < 0.1:
            cluster.broker.compact(NAMES.deliveries, chance.randrange(3))
        cluster.now += chance.randrange(20) * SECOND
    cluster.fault, cluster.react = lambda: None, lambda _delivery: taken(cluster.now)
    last = cluster.process()
    for _ in range(3):
        last.step()
        cluster.now += 2 * DAY
    assert set(cluster.received) == expected == set(cluster.newest())
    assert set(statuses(cluster).values()) <= {DeliveryStatus.DELIVERED}


def test_a_price_book_is_announced_once_and_waits_without_holding_anything_up() -> None:
    log = Log()
    cluster = Cluster()
    topic = NAMES.requests

    def announcements() -> Announcements:
        return Announcements(MemoryInputLog(cluster.broker, topic), topic, CODEC, "log-1", log.plan_of)

    process = cluster.process(announcements=announcements())
    book = Log()
    for versions in ((ONE,), (ONE, TWO)):
        book.publish(*versions)
    for message in book.broker.records(topic, 0):
        cluster.broker.append(topic, 0, message.value, message.timestamp)
    log.is_away = True
    cluster.output()
    process.step()
    cluster.now += 2 * SECOND
    process.step()
    assert [delivery.event for delivery in cluster.newest().values()] == ["balance.below"]
    process = cluster.process(announcements=announcements())
    log.is_away = False
    for _ in range(3):
        cluster.now += 2 * SECOND
        process.step()
    process.share.close()
    process = cluster.process(announcements=announcements())
    cluster.now += 2 * SECOND
    process.step()
    assert sorted(delivery.event for delivery in cluster.newest().values()) == ["balance.below", "prices.announced"]
    assert len(cluster.received) == 2
