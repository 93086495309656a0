"""What a use case's error is, whatever layer it comes from: its code, for a server's status and a terminal's exit."""

import pytest

from application.clickhouse.asking import answer
from application.configuration.sources import load
from application.errors import ErrorCode, Failed, UseCaseError
from application.pipeline import opened, translated_causes
from schemas.errors import RegistryUnavailable, Unencodable
from streams.checkpoints.sealed import CheckpointError
from streams.log.command_producer import TooLarge
from streams.log.protocols import DeliveryFailed, LogError, LogUnavailable, LostPrefix
from streams.log.results import NotDecided


@pytest.mark.parametrize(
    ("cause", "code"),
    [
        (LogUnavailable("no broker"), ErrorCode.UNAVAILABLE),
        (DeliveryFailed("not acknowledged"), ErrorCode.UNAVAILABLE),
        (RegistryUnavailable("no registry"), ErrorCode.UNAVAILABLE),
        (NotDecided("no worker"), ErrorCode.UNDECIDED),
        (LostPrefix("deleted"), ErrorCode.FAILED),
        (LogError("topics do not fit"), ErrorCode.FAILED),
        (TooLarge("event 'e' has 2000000 bytes"), ErrorCode.INVALID),
        (Unencodable("Grant.credits: must be a whole number"), ErrorCode.INVALID),
        (CheckpointError("damaged"), ErrorCode.FAILED),
        (Failed("twice", ErrorCode.CONFLICT), ErrorCode.CONFLICT),
    ],
)
def test_causes_of_other_layers_have_their_code(cause: Exception, code: ErrorCode) -> None:
    with pytest.raises(UseCaseError, match=str(cause)) as raised, translated_causes():
        raise cause
    assert raised.value.code is code


def test_a_client_that_cannot_be_closed_is_a_use_cases_error_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(_connections: object) -> None:
        raise LogError("cannot be closed")

    monkeypatch.setenv("CREDITMETER_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setattr("streams.log.connections.KafkaConnections.close", failing)
    with pytest.raises(Failed, match="cannot be closed"), opened(load(None).settings):
        pass


def test_a_loader_that_does_not_answer_is_unavailable(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDITMETER_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("CREDITMETER_QUERY_PORT", "1")
    with pytest.raises(Failed) as raised:
        answer(load(None).settings, "SELECT 1", "JSONEachRow")
    assert raised.value.code is ErrorCode.UNAVAILABLE
