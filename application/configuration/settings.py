"""The one configuration: every setting with its type, its meaning and what is allowed.

A value comes from the environment (`CREDITMETER_PARTITIONS`), else from the file (`partitions = 8`), else, for the
addresses of what `creditmeter up` runs, from its record in the data directory, else from the default here.
Loading it reports all mistakes at once (application/configuration/sources.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from application.configuration.page_actions import row_actions

ENV_PREFIX = "CREDITMETER_"
DEFAULT_FILE = "creditmeter.toml"

LEAST_SEAL_KEY, MOST_SEAL_KEY = 16, 64
"""Bytes of a seal key: enough not to be guessed, and what BLAKE2b takes."""

LEAST_SECRET, MOST_SECRET, MOST_SECRETS = 32, 1_024, 2
"""Characters of secret_key, and how many may be in force at once."""

Port = Annotated[int, Field(ge=1, le=65_535)]


def _copies(number: int) -> int:
    if number == 0:
        raise ValueError("should be 1 or more, or -1")
    return number


def _store_url(url: str) -> str:
    from streams.checkpoints.object_store import problem_of  # costs time, and few set it

    problem = problem_of(url)
    if problem is not None:
        raise ValueError(problem)
    return url


def _page_actions(text: str) -> str:
    row_actions(text)
    return text


def _seal_keys(keys: SecretStr) -> SecretStr:
    for key in keys.get_secret_value().split(","):
        if key.strip() != key or not LEAST_SEAL_KEY <= len(key.encode()) <= MOST_SEAL_KEY:
            raise ValueError(f"should have {LEAST_SEAL_KEY} to {MOST_SEAL_KEY} bytes, without spaces at its ends")
    return keys


def checked_secret_keys(keys: SecretStr) -> SecretStr:
    """The secrets as they are. Raises ValueError with what is allowed."""
    texts = keys.get_secret_value().split(",")
    if len(texts) > MOST_SECRETS:
        raise ValueError(f"should be {MOST_SECRETS} secrets at most, separated by a comma")
    if any(text.strip() != text or not LEAST_SECRET <= len(text) <= MOST_SECRET for text in texts):
        raise ValueError(f"should have {LEAST_SECRET} to {MOST_SECRET:,} characters, without spaces at its ends")
    return keys


def _seal_key(key: SecretStr) -> SecretStr:
    if "," in key.get_secret_value():
        raise ValueError("should have no comma, which separates keys in seal_keys_before")
    return _seal_keys(key)


class Settings(BaseSettings):
    """All settings of all commands. Immutable; `None` means not set."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_ignore_empty=True, extra="forbid", frozen=True, hide_input_in_errors=True
    )

    bootstrap_servers: str | None = Field(
        None,
        pattern=r"^[^\s,]+:\d+(,[^\s,]+:\d+)*$",
        description="Kafka's addresses, host:port separated by commas. Not set: what `creditmeter up` runs here.",
    )
    topic_prefix: str = Field(
        "credits",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        max_length=100,
        description="First part of every topic's and consumer group's name: credits.requests, credits.rating.",
    )
    partitions: int = Field(
        8,
        ge=1,
        le=10_000,
        description="Partitions of each topic, fixed when the topics are made: accounts hash to them.",
    )
    replication_factor: Annotated[int, AfterValidator(_copies)] = Field(
        -1,
        ge=-1,
        le=32_767,
        description="Copies of each partition among the brokers; -1 takes the brokers' own setting.",
    )
    session_timeout: int = Field(
        15,
        ge=2,
        le=300,
        description="Seconds until Kafka gives a silent worker's partitions to others, and takes a killed one back.",
    )
    processes: int = Field(1, ge=1, le=256, description="Worker processes on this machine; partitions are shared out.")
    group_messages: int = Field(
        128, ge=1, le=100_000, description="Most Kafka messages that wait in a worker for their partition's turn."
    )
    group_bytes: int = Field(
        262_144, ge=65_536, le=1_073_741_824, description="Most bytes of such messages, and about one more."
    )

    data_dir: Path = Field(Path(".creditmeter"), description="Where this machine keeps what it must not lose.")
    state_dir: Path | None = Field(None, description="Accounts' state (RocksDB). Not set: `state` in data_dir.")

    checkpoint_url: Annotated[str, AfterValidator(_store_url)] | None = Field(
        None,
        description="Where checkpoints of states are kept: a folder, or s3://bucket/path, gs://… Not set: none.",
    )
    checkpoint_every: int = Field(
        900,
        ge=1,
        le=604_800,
        description="Seconds between a partition's checkpoints, while anything happens in it.",
    )
    checkpoints_kept: int = Field(3, ge=1, le=1_000, description="Checkpoints of each partition that are kept.")

    store: Literal["embedded", "server"] = Field(
        "embedded", description="ClickHouse inside the loader's process (chDB), or a server."
    )
    clickhouse_host: str = Field("localhost", min_length=1, description="The ClickHouse server (store = server).")
    clickhouse_port: Port = Field(9000, description="Its native port (9440 is usual with clickhouse_secure).")
    clickhouse_user: str = Field("default", min_length=1, description="Who logs in there.")
    clickhouse_password: SecretStr = Field(SecretStr(""), description="That user's password.")
    clickhouse_database: str = Field(
        "creditmeter", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="The database with our tables and views."
    )
    clickhouse_secure: bool = Field(False, description="TLS to the server.")

    query_port: Port = Field(8127, description="Where on 127.0.0.1 the loader answers SQL (store = embedded).")
    query_url: str | None = Field(
        None, pattern=r"^http://", description="What `query` asks. Not set: the endpoint on this machine."
    )
    metrics_host: str = Field(
        "127.0.0.1", min_length=1, description="Where worker, loader and deliverer serve metrics and health."
    )
    metrics_port: int = Field(
        0,
        ge=0,
        le=65_535,
        description="The port of /metrics and /health; each further process takes the next one. 0 is off.",
    )

    serve_host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="Where `serve` listens; elsewhere than on this machine only with seal_key and secret_key set.",
    )
    serve_port: Port = Field(8128, description="The port of the HTTP API.")
    serve_hosts: str = Field(
        "",
        pattern=r"^([A-Za-z0-9.-]+(,[A-Za-z0-9.-]+)*)?$",
        description="Names that the HTTP API answers for, separated by commas, beside localhost and addresses.",
    )
    serve_origins: str = Field(
        "",
        pattern=r"^(https?://[A-Za-z0-9.-]+(:\d{1,5})?(,https?://[A-Za-z0-9.-]+(:\d{1,5})?)*)?$",
        description="Origins whose pages may ask the HTTP API from browsers (CORS), separated by commas: "
        "https://console.example.com. Not set: none.",
    )
    rate_limits_redis: SecretStr | None = Field(
        None,
        description="The Redis where services count the price book's rate limits, redis://HOST:PORT/0: shows what is "
        "used (`pip install creditmeter[redis]`). Not set: unknown.",
    )
    public_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s/?#]+/?$",
        description="Where browsers reach the server, https://meter.example.com: what links begin with. Not set: "
        "http://127.0.0.1 and serve_port.",
    )
    serve_behind_tls: bool = Field(
        False, description="Clients come over TLS, through a proxy: browsers are told to come back so."
    )
    webhooks_to_this_machine: bool = Field(
        False, description="Webhooks may be sent to this machine, and over plain http there: for trials."
    )
    primary_credit_type: str | None = Field(
        None, min_length=1, max_length=128, description="The credits of /account/info. Not set: the only type there is."
    )
    company_name: str = Field(
        "creditmeter", min_length=1, max_length=60, description="Whose pages these are, as customers read at their top."
    )
    page_actions: Annotated[str, AfterValidator(_page_actions)] = Field(
        "",
        description="Links of the company's own in the menu of a row of History, separated by semicolons: "
        "`Open in CRM = https://crm.example.com/requests/{request_id}`; the row's fields stand in braces.",
    )
    public_prices: bool = Field(False, description="Whether anybody may see GET /v1/prices, without a key.")
    cloud_events_source_in_id: bool = Field(
        True, description="The event_id of a CloudEvent is source#id. false: its id alone."
    )

    schema_registry_url: str | None = Field(
        None,
        pattern=r"^https?://",
        description="Confluent wire format with this registry. Not set: single-object Avro.",
    )
    schema_registry_user: str | None = Field(None, min_length=1, description="Who logs in at the registry.")
    schema_registry_password: SecretStr | None = Field(None, description="That user's password.")

    seal_key: Annotated[SecretStr, AfterValidator(_seal_key)] | None = Field(
        None,
        description="The secret that output records are sealed with, the same for worker, loader and every reader; "
        "16 to 64 bytes. Not set: the input topic's id, which keeps out accidents and other pipelines, not malice.",
    )
    seal_keys_before: Annotated[SecretStr, AfterValidator(_seal_keys)] | None = Field(
        None,
        description="Earlier seal keys, separated by commas: records of before `creditmeter seal rotate` have theirs.",
    )

    secret_key: Annotated[SecretStr, AfterValidator(checked_secret_keys)] | None = Field(
        None,
        description="The secret that the HTTP API's own secrets are derived from (links, sessions, cursors, webhooks), "
        "32 to 1,024 characters; while it is rotated two, separated by a comma, the new one first. Not set: what "
        "`creditmeter up` has made in data_dir (secret.key).",
    )

    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="How to talk to the brokers."
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        None, description="How to log in at the brokers (SASL_PLAINTEXT, SASL_SSL)."
    )
    kafka_sasl_username: str | None = Field(None, min_length=1, description="Who logs in.")
    kafka_sasl_password: SecretStr | None = Field(None, description="That user's password.")
    kafka_ssl_ca_location: Path | None = Field(None, description="PEM file of the authorities that are trusted.")
    kafka_ssl_certificate_location: Path | None = Field(None, description="PEM file of this client's certificate.")
    kafka_ssl_key_location: Path | None = Field(None, description="PEM file of its private key.")
    kafka_ssl_key_password: SecretStr | None = Field(None, description="The key's pass phrase.")

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: object, info: ValidationInfo) -> object:
        """`partitions = true` is not one partition."""
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation is not bool:
            raise ValueError(f"should be a number or a text, not {str(value).lower()}")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 -- pydantic's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over what the file says (which is given as arguments); nothing else is looked at."""
        return (env_settings, init_settings)

    def contradictions(self) -> list[tuple[str, str]]:
        """Settings that contradict each other: (name, what is wrong and what to do)."""
        problems: list[tuple[str, str]] = []
        sasl = self.kafka_security_protocol.startswith("SASL")
        for name in ("kafka_sasl_mechanism", "kafka_sasl_username", "kafka_sasl_password"):
            given = getattr(self, name) is not None
            if sasl and not given:
                problems.append((name, f"is needed with kafka_security_protocol = {self.kafka_security_protocol}"))
            elif given and not sasl:
                problems.append((name, "has no effect unless kafka_security_protocol is SASL_PLAINTEXT or SASL_SSL"))
        if "SSL" not in self.kafka_security_protocol.replace("SASL", ""):
            problems.extend(
                (name, "has no effect unless kafka_security_protocol is SSL or SASL_SSL")
                for name in ("kafka_ssl_ca_location", "kafka_ssl_certificate_location", "kafka_ssl_key_location")
                if getattr(self, name) is not None
            )
        if (self.kafka_ssl_key_location is None) != (self.kafka_ssl_certificate_location is None):
            missing = "key" if self.kafka_ssl_key_location is None else "certificate"
            problems.append((f"kafka_ssl_{missing}_location", "is needed: a certificate and its key go together"))
        if self.seal_keys_before is not None and self.seal_key is None:
            problems.append(("seal_keys_before", "has no effect without seal_key"))
        if self.schema_registry_user is not None and self.schema_registry_url is None:
            problems.append(("schema_registry_user", "has no effect without schema_registry_url"))
        return problems

    @property
    def state_path(self) -> Path:
        """Where the worker keeps accounts' state."""
        return self.state_dir or self.data_dir / "state"

    @property
    def kafka_security(self) -> dict[str, str]:
        """Security options by librdkafka's names, secrets in clear; empty for a plain connection."""
        values = {
            "security.protocol": None if self.kafka_security_protocol == "PLAINTEXT" else self.kafka_security_protocol,
            "sasl.mechanism": self.kafka_sasl_mechanism,
            "sasl.username": self.kafka_sasl_username,
            "sasl.password": self.kafka_sasl_password,
            "ssl.ca.location": self.kafka_ssl_ca_location,
            "ssl.certificate.location": self.kafka_ssl_certificate_location,
            "ssl.key.location": self.kafka_ssl_key_location,
            "ssl.key.password": self.kafka_ssl_key_password,
        }
        return {
            name: value.get_secret_value() if isinstance(value, SecretStr) else str(value)
            for name, value in values.items()
            if value is not None
        }
