"""A refund of a call asks ClickHouse for its events: what is not loaded yet must not be left out without a word."""

import json
import re
from collections.abc import Callable

import pytest
from click.testing import Result

from tests.harness import Pipeline

pytestmark = pytest.mark.kafka

Run = Callable[..., Result]
EVENT = {"event_id": "late", "account_id": "unloaded", "occurred_at": 1_767_312_000_000, "channel": "api"}


@pytest.mark.parametrize("options", [(), ("--account", "unloaded")])
def test_it_says_that_events_may_be_missing(here: Run, rated: Pipeline, options: tuple[str, ...]) -> None:
    """No loader runs here: what was decided is in nobody's rows."""
    line = json.dumps(EVENT | {"endpoint": "/v1/pageview", "request_id": "late-call"})
    assert here("emit", stdin=line).exit_code == 0
    rated.wait_until_rated()
    refused = here("refund", "--request-id", "late-call", *options)
    assert refused.exit_code == 1
    assert re.search(r"may not have all of the call yet: [1-9]\d* messages wait", refused.stderr), refused.stderr


@pytest.mark.parametrize("options", [("\udcff",), ("late-call", "--account", "\udcff")])
def test_what_is_not_utf_8_is_wrong_usage(here: Run, options: tuple[str, ...]) -> None:
    refused = here("refund", "--request-id", *options)
    assert refused.exit_code == 2
    assert "not UTF-8" in refused.stderr
