"""The settings themselves: what is allowed, what contradicts, and what Kafka's clients are given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from application.configuration.settings import Settings


def wrong_settings(**values: Any) -> list[str]:
    with pytest.raises(ValidationError) as raised:
        Settings(**values)
    assert "input_value" not in str(raised.value), "a secret may be among the values"
    return [str(mistake["loc"][0]) for mistake in raised.value.errors()]


def test_every_setting_is_explained() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bootstrap_servers", "localhost"), ("bootstrap_servers", "h:1,"), ("bootstrap_servers", "h:1, h:2"),
        ("topic_prefix", ".x"), ("topic_prefix", "x" * 101), ("partitions", 0), ("partitions", True),
        ("partitions", 10_001), ("replication_factor", 0), ("replication_factor", -2), ("session_timeout", 1),
        ("group_bytes", 65_535), ("checkpoint_url", "s4://bucket"), ("checkpoint_url", "sftp://me:secret@host/path"),
        ("store", "both"), ("clickhouse_database", "1x"), ("clickhouse_port", 0), ("query_port", 65_536),
        ("query_url", "https://h"), ("metrics_port", -1), ("schema_registry_url", "h"), ("seal_key", "too short"),
        ("seal_key", "with a comma, and long enough"), ("seal_key", " begins with a space"), ("seal_key", "x" * 65),
        ("seal_keys_before", "long enough for a key,short"), ("kafka_security_protocol", "TLS"), ("no_such", 1),
    ],
)  # fmt: skip
def test_what_is_not_allowed_is_refused_by_its_name(name: str, value: object) -> None:
    assert wrong_settings(**{name: value}) == [name]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bootstrap_servers", "h:1,h:2"), ("replication_factor", -1), ("replication_factor", 3),
        ("seal_key", "x" * 16), ("seal_key", "ä" * 32), ("seal_keys_before", f"{'x' * 16},{'y' * 64}"),
        ("checkpoint_url", "a/folder"), ("metrics_port", 0), ("clickhouse_secure", True),
    ],
)  # fmt: skip
def test_the_edges_of_what_is_allowed(name: str, value: object) -> None:
    kept = getattr(Settings(**{name: value}), name)
    assert (kept.get_secret_value() if isinstance(kept, SecretStr) else kept) == value


def test_all_mistakes_come_at_once() -> None:
    assert sorted(wrong_settings(partitions=0, store="both", extra=1)) == ["extra", "partitions", "store"]


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ({}, []),
        (
            {"kafka_security_protocol": "SASL_SSL"},
            ["kafka_sasl_mechanism", "kafka_sasl_username", "kafka_sasl_password"],
        ),
        ({"kafka_sasl_username": "u"}, ["kafka_sasl_username"]),
        ({"kafka_security_protocol": "SSL", "kafka_ssl_ca_location": "ca"}, []),
        ({"kafka_ssl_ca_location": "ca"}, ["kafka_ssl_ca_location"]),
        ({"kafka_security_protocol": "SSL", "kafka_ssl_key_location": "k"}, ["kafka_ssl_certificate_location"]),
        ({"kafka_security_protocol": "SSL", "kafka_ssl_certificate_location": "c"}, ["kafka_ssl_key_location"]),
        ({"seal_keys_before": "x" * 16}, ["seal_keys_before"]),
        ({"seal_keys_before": "x" * 16, "seal_key": "y" * 16}, []),
        ({"schema_registry_user": "u"}, ["schema_registry_user"]),
        ({"schema_registry_user": "u", "schema_registry_url": "http://r"}, []),
    ],
)
def test_settings_that_contradict_each_other_are_named(values: dict[str, Any], names: list[str]) -> None:
    assert [name for name, _ in Settings(**values).contradictions()] == names


def test_sasl_without_tls_makes_no_use_of_certificates() -> None:
    settings = Settings(
        kafka_security_protocol="SASL_PLAINTEXT", kafka_sasl_mechanism="PLAIN", kafka_sasl_username="u",
        kafka_sasl_password=SecretStr("p"), kafka_ssl_ca_location=Path("ca"),
    )  # fmt: skip
    assert [name for name, _ in settings.contradictions()] == ["kafka_ssl_ca_location"]


def test_kafkas_options_have_librdkafkas_names_and_secrets_in_clear() -> None:
    assert Settings().kafka_security == {}
    settings = Settings(
        kafka_security_protocol="SSL", kafka_ssl_ca_location=Path("ca.pem"), kafka_ssl_key_password=SecretStr("hunter2")
    )
    assert settings.kafka_security == {
        "security.protocol": "SSL", "ssl.ca.location": "ca.pem", "ssl.key.password": "hunter2",
    }  # fmt: skip


def test_secrets_are_not_in_its_text() -> None:
    settings = Settings(clickhouse_password=SecretStr("hunter2"), seal_key=SecretStr("a key of the seals"))
    assert "hunter2" not in repr(settings)
    assert "a key of the seals" not in repr(settings)


def test_states_lie_below_the_data_unless_a_place_is_given() -> None:
    assert Settings(data_dir=Path("d")).state_path == Path("d") / "state"
    assert Settings(data_dir=Path("d"), state_dir=Path("s")).state_path == Path("s")


def test_the_environment_wins_over_what_a_file_gives_as_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDITMETER_PARTITIONS", "32")
    assert Settings(partitions=16).partitions == 32
