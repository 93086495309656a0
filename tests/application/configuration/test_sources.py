"""The configuration: sources in their order, every mistake at once with its place, secrets masked."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from application.configuration.settings import Settings
from application.configuration.sources import MASK, load
from application.errors import ErrorCode, Misconfigured
from application.pipeline import seal_settings_of
from local.record import Record

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def mistakes_of(config_file: str | None = None) -> tuple[str, ...]:
    with pytest.raises(Misconfigured) as caught:
        load(config_file)
    assert caught.value.code is ErrorCode.INVALID
    return caught.value.mistakes


def test_defaults() -> None:
    configuration = load()
    assert configuration.settings.partitions == 8
    assert configuration.settings.topic_prefix == "credits"
    assert configuration.settings.store == "embedded"
    assert set(configuration.origins.values()) == {"default"}
    assert set(configuration.origins) == set(Settings.model_fields)


def test_environment_over_file_over_default(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (empty_folder / "creditmeter.toml").write_text("# ours\npartitions = 16\nprocesses = 2\n")
    monkeypatch.setenv("CREDITMETER_PARTITIONS", "32")
    configuration = load()
    assert configuration.settings.partitions == 32
    assert configuration.settings.processes == 2
    assert configuration.origins["partitions"] == "environment CREDITMETER_PARTITIONS"
    assert configuration.origins["processes"] == "creditmeter.toml:3"


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDITMETER_PARTITIONS", "")
    assert load().origins["partitions"] == "default"


def test_a_named_file_replaces_the_one_of_the_folder(empty_folder: Path) -> None:
    (empty_folder / "creditmeter.toml").write_text("partitions = 16\n")
    (empty_folder / "other.toml").write_text("processes = 3\n")
    settings = load("other.toml").settings
    assert (settings.partitions, settings.processes) == (8, 3)


def test_a_table_is_a_prefix(empty_folder: Path) -> None:
    (empty_folder / "creditmeter.toml").write_text(
        'store = "server"\n[clickhouse]\nhost = "ch.internal"\nport = 9440\n\n'
        '[kafka]\nsecurity_protocol = "SASL_SSL"\nsasl = {mechanism = "PLAIN", username = "u", password = "p"}\n'
    )
    configuration = load()
    assert configuration.settings.clickhouse_host == "ch.internal"
    assert configuration.origins["clickhouse_port"] == "creditmeter.toml:4"
    assert configuration.origins["kafka_sasl_username"] == "creditmeter.toml:8"
    assert configuration.settings.kafka_security == {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "u",
        "sasl.password": "p",
    }


def test_all_mistakes_at_once_with_their_places(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (empty_folder / "creditmeter.toml").write_text(
        'partitons = 4\nstore = "both"\n\n[clickhouse]\nport = 70000\nhots = "x"\n'
    )
    monkeypatch.setenv("CREDITMETER_PROCESSES", "many")
    monkeypatch.setenv("CREDITMETER_TOPIC_PREFX", "x")
    monkeypatch.setenv("CREDITMETER_SCHEMA_REGISTRY_USER", "someone")
    assert sorted(mistakes_of()) == [
        "creditmeter.toml:1: partitons: there is no such setting; did you mean partitions?",
        "creditmeter.toml:2: store: should be 'embedded' or 'server'",
        "creditmeter.toml:5: clickhouse_port: should be less than or equal to 65535",
        "creditmeter.toml:6: clickhouse_hots: there is no such setting; did you mean clickhouse_host?",
        "environment CREDITMETER_PROCESSES: processes: should be a valid integer, unable to parse string as an integer",
        "environment CREDITMETER_SCHEMA_REGISTRY_USER: schema_registry_user: has no effect without schema_registry_url",
        "environment CREDITMETER_TOPIC_PREFX: there is no such setting; did you mean CREDITMETER_TOPIC_PREFIX?",
    ]


def test_true_is_no_number_and_no_text(empty_folder: Path) -> None:
    (empty_folder / "creditmeter.toml").write_text(
        "partitions = true\ntopic_prefix = false\ncheckpoint_every = true\n\n[clickhouse]\nport = true\nsecure = true\n"
    )
    assert sorted(mistakes_of()) == [
        "creditmeter.toml:1: partitions: should be a number or a text, not true",
        "creditmeter.toml:2: topic_prefix: should be a number or a text, not false",
        "creditmeter.toml:3: checkpoint_every: should be a number or a text, not true",
        "creditmeter.toml:6: clickhouse_port: should be a number or a text, not true",
    ]


def test_checkpoint_settings(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (empty_folder / "creditmeter.toml").write_text('[checkpoint]\nurl = "s4://bucket"\nevery = 0\n')
    monkeypatch.setenv("CREDITMETER_CHECKPOINTS_KEPT", "none")
    assert [mistake.partition(": ")[2] for mistake in sorted(mistakes_of())] == [
        "checkpoint_url: s4:// is no store that fsspec knows; a folder, or s3://bucket/path, gs://…, abfs://… is meant",
        "checkpoint_every: should be greater than or equal to 1",
        "checkpoints_kept: should be a valid integer, unable to parse string as an integer",
    ]
    (empty_folder / "creditmeter.toml").write_text('checkpoint_url = "sftp://me:secret@host/path"\n')
    monkeypatch.delenv("CREDITMETER_CHECKPOINTS_KEPT")
    (mistake,) = mistakes_of()
    assert "holds a password" in mistake
    assert "secret" not in mistake


def test_seal_keys(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounded, without a comma, and never shown."""
    monkeypatch.setenv("CREDITMETER_SEAL_KEYS_BEFORE", "the old key that was set,short")
    assert [mistake.partition(": ")[2] for mistake in sorted(mistakes_of())] == [
        "seal_keys_before: should have 16 to 64 bytes, without spaces at its ends",
    ]
    monkeypatch.setenv("CREDITMETER_SEAL_KEY", "a key with a comma, and long")
    monkeypatch.setenv("CREDITMETER_SEAL_KEYS_BEFORE", "the old key that was set")
    assert "seal_key: should have no comma, which separates keys in seal_keys_before" in "\n".join(mistakes_of())
    monkeypatch.delenv("CREDITMETER_SEAL_KEY")
    assert "seal_keys_before: has no effect without seal_key" in "\n".join(mistakes_of())
    monkeypatch.setenv("CREDITMETER_SEAL_KEY", "secret-" + "ä" * 28)
    shown = run("config", "--explain").stdout + run("config", "--json").stdout
    assert "seal_key" in shown
    assert "secret-" not in shown
    assert "the old key" not in shown
    keys = seal_settings_of(load().settings).for_log("id of the topic")
    assert keys.present == ("secret-" + "ä" * 28).encode()
    assert list(keys.earlier) == [b"the old key that was set"]


def test_security_settings_that_contradict_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDITMETER_KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
    monkeypatch.setenv("CREDITMETER_KAFKA_SASL_USERNAME", "u")
    monkeypatch.setenv("CREDITMETER_KAFKA_SSL_CERTIFICATE_LOCATION", "cert.pem")
    text = "\n".join(mistakes_of())
    assert "not set: kafka_sasl_mechanism: is needed" in text
    assert "not set: kafka_sasl_password: is needed" in text
    assert "kafka_ssl_certificate_location: has no effect" in text
    assert "kafka_ssl_key_location: is needed" in text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"partitions = \n", "is not TOML"),
        (b"a = 1\na = 2\n", "is not TOML"),
        (b"\xff\xfe", "cannot be read as text"),
    ],
)
def test_a_file_that_cannot_be_read(empty_folder: Path, content: bytes, said: str) -> None:
    (empty_folder / "creditmeter.toml").write_bytes(content)
    assert said in mistakes_of()[0]


def test_a_named_file_that_is_not_there() -> None:
    assert mistakes_of("nowhere.toml") == ("nowhere.toml: there is no such file",)


def test_variables_of_tests_are_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDITMETER_TEST_BOOTSTRAP_SERVERS", "x:1")
    load()


def test_what_up_runs_is_found(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (empty_folder / ".creditmeter").mkdir()
    (empty_folder / ".creditmeter" / "run.json").write_text(json.dumps({"bootstrap_servers": "h:1"}))
    assert load().settings.bootstrap_servers is None, "what was left behind by a crash counts for nothing"
    Record.of(os.getpid(), "").write(empty_folder / ".creditmeter" / "up.json")
    configuration = load()
    assert configuration.settings.bootstrap_servers == "h:1"
    assert "creditmeter up" in configuration.origins["bootstrap_servers"]
    (empty_folder / ".creditmeter" / "run.json").write_text(json.dumps({"bootstrap_servers": "h:1", "query_port": 9}))
    assert load().settings.query_port == 9, "the port that `up` took in place of a default one that is taken"
    (empty_folder / "creditmeter.toml").write_text("query_port = 8\n")
    assert load().settings.query_port == 8, "why `up` must not take another one than a port that is set"
    monkeypatch.setenv("CREDITMETER_BOOTSTRAP_SERVERS", "mine:9092")
    assert load().settings.bootstrap_servers == "mine:9092"


def test_config_prints_sources_and_masks_secrets(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDITMETER_CLICKHOUSE_PASSWORD", "hunter2")
    text = run("config").stdout
    assert "hunter2" not in text
    assert f'clickhouse_password = "{MASK}"' in text
    assert "# environment CREDITMETER_CLICKHOUSE_PASSWORD" in text
    shown = json.loads(run("config", "--json").stdout)
    assert shown["clickhouse_password"] == {
        "value": MASK,
        "source": "environment CREDITMETER_CLICKHOUSE_PASSWORD",
    }
    assert shown["partitions"] == {"value": 8, "source": "default"}


def test_secrets_are_not_in_mistakes(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDITMETER_KAFKA_SASL_PASSWORD", "hunter2")
    result = run("config")
    assert result.exit_code == 2
    assert "kafka_sasl_password" in result.stderr
    assert "hunter2" not in result.stderr + result.stdout


def test_config_explained_is_a_file_that_can_be_loaded(run: Run, empty_folder: Path) -> None:
    text = run("config", "--explain").stdout
    (empty_folder / "creditmeter.toml").write_text(text)
    assert load().settings == Settings()
    for name in Settings.model_fields:
        assert f"CREDITMETER_{name.upper()}" in text


def test_config_option_before_and_after_the_command(run: Run, empty_folder: Path) -> None:
    (empty_folder / "mine.toml").write_text("partitions = 3\n")
    for arguments in (("--config", "mine.toml", "config"), ("config", "--config", "mine.toml")):
        assert "partitions = 3 " in run(*arguments).stdout
    assert run("config", "--config", "nowhere.toml").exit_code == 2


def test_a_value_of_the_wrong_form_is_answered_with_its_meaning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDITMETER_BOOTSTRAP_SERVERS", "localhost")
    monkeypatch.setenv("CREDITMETER_REPLICATION_FACTOR", "0")
    servers, replication = sorted(mistakes_of())
    assert "bootstrap_servers: does not fit; it is: Kafka's addresses, host:port separated by commas" in servers
    assert "replication_factor: should be 1 or more" in replication


SECRET = "s3cr3t/with@signs"


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("query_url", f"http://ann:{SECRET}@127.0.0.1:8127/x", "http://********@127.0.0.1:8127/x"),
        ("query_url", f"http://127.0.0.1:8127/?token={SECRET}&b=1", "http://127.0.0.1:8127/?token=********&b=********"),
        ("schema_registry_url", f"https://ann:{SECRET}@registry", "https://********@registry"),
        ("checkpoint_url", f"memory://key:{SECRET}@bucket/path", "memory://********@bucket/path"),
        ("clickhouse_host", f"ann:{SECRET}@host".replace("/", ""), "********@host"),
        ("bootstrap_servers", "h:1,ann:s3cr3t@h:2", "h:1,********@h:2"),
        ("checkpoint_url", "/mnt/a@b/kept", "/mnt/a@b/kept"),
        ("data_dir", "a@b", "a@b"),
    ],
)
def test_no_address_shows_a_secret(
    run: Run, monkeypatch: pytest.MonkeyPatch, name: str, value: str, shown: str
) -> None:
    monkeypatch.setenv(f"CREDITMETER_{name.upper()}", value)
    for arguments in (["config"], ["config", "--explain"], ["config", "--json"]):
        result = run(*arguments)
        assert result.exit_code == 0, result.stderr
        assert "s3cr3t" not in result.stdout + result.stderr
        assert json.dumps(shown) in result.stdout
