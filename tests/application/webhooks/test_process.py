"""What the process needs before it begins."""

import pytest

from application.configuration.settings import Settings
from application.errors import Misconfigured
from application.webhooks.process import run_deliverer


def test_without_a_secret_key_nothing_is_sent_unsigned() -> None:
    with pytest.raises(Misconfigured, match="secret_key: is needed"):
        run_deliverer(Settings(bootstrap_servers="localhost:1"))
