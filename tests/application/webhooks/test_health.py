"""When a webhook is turned off, and what does not turn it off."""

from dataclasses import replace

from application.webhooks.health import OFF_AFTER_MS, WebhookHealth
from application.webhooks.schedule import after_try, dropped
from streams.deliveries.records import Delivery
from tests.application.webhooks.examples import NOW, a_delivery, refused, taken

THREE_DAYS = OFF_AFTER_MS


def failed(name: str, *times: int) -> Delivery:
    delivery = a_delivery(name)
    for at in times:
        delivery = after_try(replace(delivery, next_at=at), refused(at))
    return delivery


def after(*deliveries: Delivery) -> WebhookHealth:
    health = WebhookHealth()
    for delivery in deliveries:
        health.apply(delivery)
    return health


def test_three_days_without_a_success_of_several_messages() -> None:
    health = after(failed("msg_1", NOW), failed("msg_2", NOW + 5))
    assert health.failing_since("wh_1") == NOW
    assert not health.to_turn_off("wh_1", NOW + THREE_DAYS - 1)
    assert health.to_turn_off("wh_1", NOW + THREE_DAYS)
    assert not health.to_turn_off("wh_2", NOW + THREE_DAYS)


def test_one_poisonous_message_turns_nothing_off() -> None:
    health = after(failed("msg_1", NOW, NOW + 1, NOW + THREE_DAYS))
    assert not health.to_turn_off("wh_1", NOW + 9 * THREE_DAYS)


def test_a_success_begins_anew() -> None:
    health = after(failed("msg_1", NOW), failed("msg_2", NOW), after_try(a_delivery("msg_3"), taken(NOW + 1)))
    assert health.failing_since("wh_1") is None
    assert not health.to_turn_off("wh_1", NOW + THREE_DAYS)
    health.apply(failed("msg_1", NOW, NOW + 2))
    health.apply(failed("msg_2", NOW, NOW + 3))
    assert health.failing_since("wh_1") == NOW + 2


def test_what_failed_before_it_was_turned_off_counts_no_more() -> None:
    health = after(failed("msg_1", NOW), failed("msg_2", NOW), dropped(failed("msg_1", NOW), "off", NOW + 10))
    assert health.failing_since("wh_1") is None


def test_the_same_again_changes_nothing() -> None:
    records = [failed("msg_1", NOW), failed("msg_2", NOW + 5), failed("msg_1", NOW, NOW + 7)]
    assert after(*records).failing_since("wh_1") == after(*records, *records).failing_since("wh_1") == NOW


def test_what_failed_before_it_was_turned_on_again_counts_no_more() -> None:
    health = after(failed("msg_1", NOW), failed("msg_2", NOW + 5))
    on_again = NOW + THREE_DAYS
    for _ in range(2):
        health.begin_anew("wh_1", on_again)
        health.apply(failed("msg_1", NOW, on_again + 1))
    assert not health.to_turn_off("wh_1", on_again + 9 * THREE_DAYS)
    health.apply(failed("msg_3", on_again + 2))
    assert health.failing_since("wh_1") == on_again + 1
