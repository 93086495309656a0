"""The company's own entries of a row's menu, as the configuration says them."""

from __future__ import annotations

import re

import pytest

from application.configuration.page_actions import RowAction, row_actions


def test_it_reads_labels_and_templates() -> None:
    crm = "https://crm.example.com/{domain}?r={request_id}=1"
    first, second = row_actions(f"Open in CRM = {crm}; Ticket=http://t.example/{{attributes.ticket}} ;")
    assert first == RowAction("Open in CRM", crm)
    assert first.names == ("domain", "request_id")
    assert second.names == ("attributes.ticket",)
    assert row_actions("") == ()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("just words", "LABEL = URL"), ("= https://a.example", "LABEL = URL"), ("L = javascript:alert(1)", "https://"),
        ("L = //a.example/", "https://"), ("L = https://a.example/ b", "without spaces"),
        ("L = https://{domain}/", "host should be fixed"),
        ("L = https://a.example/{credits}", "{credits} should be one"),
        ("L = https://a.example/{attributes.}", "should be one"), ("x" * 61 + "=https://a.example", "1 to 60"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        row_actions(text)
