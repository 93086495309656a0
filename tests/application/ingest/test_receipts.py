"""Receipts as text, and text that is none."""

import pytest

from application.ingest.receipts import NotAReceipt, Receipt
from streams.log.event_sender import Stored

DIGEST = "0123456789abcdef" * 2


def test_a_receipt_is_read_as_it_was_written() -> None:
    receipt = Receipt.of("DzfolIWXTDmgUlnHEWlm3A", Stored(4, 1_042, 17, DIGEST))
    assert str(receipt) == f"DzfolIWXTDmgUlnHEWlm3A.4.1042.17.{DIGEST}"
    assert Receipt.parse(str(receipt)) == receipt
    # Kafka's client has a topic's id in base64 with + and /, which mean something else in a path.
    odd = Receipt.of("65Rj+xgq/vuhl9PSRaPynQ", Stored(4, 1_042, 17, DIGEST))
    assert str(odd) == f"65Rj-xgq_vuhl9PSRaPynQ.4.1042.17.{DIGEST}"
    assert Receipt.parse(str(odd)) == odd
    assert odd.is_of("65Rj+xgq/vuhl9PSRaPynQ")
    assert not odd.is_of("65Rj+xgq/vuhl9PSRaPynR")


@pytest.mark.parametrize(
    "text",
    [
        "", "x", f"log.4.1.0.{DIGEST}.", f"log.4.1.0.{DIGEST[:-1]}", f"log.4.1.0.{DIGEST.upper()}",
        f"log.-4.1.0.{DIGEST}", f"log.4.1.{DIGEST}", f"lo/g.4.1.0.{DIGEST}", f"log.4.1.0.{DIGEST}\n",
        f"log.٤.1.0.{DIGEST}", f".4.1.0.{DIGEST}", f"log.4.{'9' * 40}.0.{DIGEST}",
    ],
)  # fmt: skip
def test_other_text_is_no_receipt(text: str) -> None:
    with pytest.raises(NotAReceipt):
        Receipt.parse(text)
