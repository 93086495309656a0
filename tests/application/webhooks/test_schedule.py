"""When a message is tried again, and how it ends."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from application.webhooks.schedule import (
    ATTEMPTS_KEPT,
    JITTER_PERCENT,
    LONGEST_RETRY_AFTER,
    TRIES,
    WAITS,
    after_try,
    dropped,
    sent_again,
    wait_before,
)
from streams.deliveries.records import Delivery, DeliveryStatus
from tests.application.webhooks.examples import DAY, HOUR, MINUTE, NOW, SECOND, a_delivery, refused, taken


def test_the_waits_are_those_that_are_documented() -> None:
    assert WAITS == (
        5 * SECOND, 30 * SECOND, 2 * MINUTE, 15 * MINUTE, HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, DAY,
    )  # fmt: skip


@given(st.text(max_size=40), st.integers(1, TRIES - 1))
def test_a_wait_has_jitter_that_follows_from_message_and_number(delivery_id: str, tries: int) -> None:
    wait = wait_before(delivery_id, tries)
    assert wait is not None
    assert WAITS[tries - 1] <= wait <= WAITS[tries - 1] * (100 + JITTER_PERCENT) // 100
    assert wait == wait_before(delivery_id, tries)


def test_what_failed_together_does_not_come_back_together() -> None:
    assert len({wait_before(f"msg_{number}", 5) for number in range(100)}) > 90


def test_after_the_last_try_there_is_none() -> None:
    assert wait_before("msg_1", TRIES) is None


@given(st.lists(st.integers(0, 10 * DAY), min_size=TRIES, max_size=TRIES))
def test_a_message_that_always_fails_ends_after_eleven_tries_each_later_than_the_one_before(gaps: list[int]) -> None:
    delivery, at = a_delivery(), NOW
    for number in range(TRIES):
        assert (delivery.status, delivery.tries) == (DeliveryStatus.PENDING, number)
        assert delivery.next_at is not None
        assert delivery.next_at >= at
        at = delivery.next_at + gaps[number]  # the process was away meanwhile
        delivery = after_try(delivery, refused(at))
    assert (delivery.status, delivery.next_at, delivery.finished_at) == (DeliveryStatus.FAILED, None, at + 10)
    assert delivery.reason == "11 tries failed, the last with: 500 no"
    assert len(delivery.attempts) == TRIES
    assert delivery.revision == 1 + TRIES


def test_without_delay_the_tries_take_about_three_days() -> None:
    delivery = a_delivery()
    while delivery.next_at is not None:
        last = delivery.next_at
        delivery = after_try(delivery, refused(last))
    assert 2.9 * DAY < last - NOW < 3.3 * DAY


def test_one_that_is_taken_is_over() -> None:
    delivery = after_try(after_try(a_delivery(), refused()), taken(NOW + 5 * SECOND))
    assert (delivery.status, delivery.next_at, delivery.tries) == (DeliveryStatus.DELIVERED, None, 2)
    assert [attempt.status_code for attempt in delivery.attempts] == [500, 200]
    assert delivery.finished_at == NOW + 5 * SECOND + 10


def test_410_ends_it_at_once() -> None:
    delivery = after_try(a_delivery(), refused(status=410))
    assert (delivery.status, delivery.next_at, delivery.reason) == (DeliveryStatus.FAILED, None, "410 no")


def test_retry_after_is_obeyed_where_it_is_later_and_up_to_a_day() -> None:
    def waits(retry_after: int | None) -> int:
        return (after_try(a_delivery(), refused(NOW, 429, retry_after)).next_at or 0) - NOW - 10

    assert waits(None) == waits(0) == waits(SECOND) == wait_before("msg_1", 1)
    assert waits(20 * MINUTE) == 20 * MINUTE
    assert waits(400 * DAY) == LONGEST_RETRY_AFTER


@given(st.integers(0, 60))
def test_only_the_newest_tries_are_kept(tries: int) -> None:
    delivery: Delivery = a_delivery()
    for number in range(tries):
        delivery = replace(after_try(sent_again(delivery, "", NOW), refused(NOW + number)))
    assert [attempt.at for attempt in delivery.attempts] == [NOW + number for number in range(tries)][-ATTEMPTS_KEPT:]


def test_one_that_is_sent_again_has_all_its_tries_before_it_and_keeps_its_id() -> None:
    delivery = dropped(a_delivery(tries=3), "the webhook is off", NOW + 1)
    assert (delivery.status, delivery.next_at, delivery.reason) == (DeliveryStatus.DROPPED, None, "the webhook is off")
    again = sent_again(delivery, "by key_1", NOW + 2)
    assert (again.status, again.tries, again.next_at, again.finished_at) == (DeliveryStatus.PENDING, 0, NOW + 2, None)
    assert (again.delivery_id, again.revision) == (delivery.delivery_id, 3)
