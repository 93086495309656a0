"""A state at hand is the worker's on this machine, while nobody is further; its effects show in tests/server/api."""

from __future__ import annotations

from pathlib import Path

import pytest

from application.accounts.at_hand import state_at_hand
from application.errors import ErrorCode, Failed, Misconfigured
from application.in_memory import in_memory_pipeline


def test_where_no_worker_has_one_it_is_unavailable_and_names_no_folder(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="no worker on this server's machine has it") as raised:  # noqa: SIM117
        with state_at_hand(in_memory_pipeline(tmp_path), "acme"):
            raise AssertionError("there is none")
    assert raised.value.code is ErrorCode.UNAVAILABLE
    assert str(tmp_path) not in raised.value.message


def test_an_id_that_no_account_can_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="no account's id"):  # noqa: SIM117
        with state_at_hand(in_memory_pipeline(tmp_path), "x" * 129):
            raise AssertionError("there is none")
