"""The topics: their names, how they are made, and whether those that are there are right."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from streams.log.client import MESSAGE_BYTES
from streams.log.protocols import LogError
from streams.log.topic_admin import NewTopic, TopicAdmin

if TYPE_CHECKING:
    from collections.abc import Mapping

FOR_EVER = -1
_CLOCK_ADVICE = (
    "a record's time decides charges and must be the broker's: alter the topic before anything is in it, "
    "or choose another topic_prefix"
)
_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


@dataclass(frozen=True, slots=True)
class TopicNames:
    """Every topic and consumer group of one pipeline: `<prefix>.requests` and so on."""

    prefix: str = "credits"

    def __post_init__(self) -> None:
        if not _PREFIX.fullmatch(self.prefix):
            raise ValueError(
                f"topic prefix {self.prefix!r}: letters, digits, dots, underscores and hyphens, at most 200"
            )

    @property
    def requests(self) -> str:
        return f"{self.prefix}.requests"

    @property
    def billed(self) -> str:
        return f"{self.prefix}.billed"

    @property
    def refunds(self) -> str:
        return f"{self.prefix}.refunds"

    @property
    def grants(self) -> str:
        return f"{self.prefix}.grants"

    @property
    def alerts(self) -> str:
        return f"{self.prefix}.alerts"

    @property
    def accounts(self) -> str:
        return f"{self.prefix}.accounts"

    @property
    def holds(self) -> str:
        return f"{self.prefix}.holds"

    @property
    def dead_letters(self) -> str:
        return f"{self.prefix}.dead-letters"

    @property
    def seals(self) -> str:
        """Which key seals the outputs from which offset on: one partition, few records (see `seal_ledger`)."""
        return f"{self.prefix}.seals"

    @property
    def access(self) -> str:
        """Who may do what: one partition, compacted, so that the newest record of each key stays (docs/access.md)."""
        return f"{self.prefix}.access"

    @property
    def deliveries(self) -> str:
        """What is sent to webhooks, and what was tried: as many partitions as the outputs, compacted."""
        return f"{self.prefix}.deliveries"

    @property
    def outputs(self) -> tuple[str, ...]:
        return (
            self.billed, self.refunds, self.grants, self.alerts, self.accounts, self.holds, self.dead_letters,
        )  # fmt: skip

    @property
    def loaded(self) -> tuple[str, ...]:
        """The topics that have a table in ClickHouse: the outputs, and what is sent to webhooks."""
        return (*self.outputs, self.deliveries)

    @property
    def all(self) -> tuple[str, ...]:
        return (self.requests, *self.outputs)

    @property
    def rating_group(self) -> str:
        return f"{self.prefix}.rating"

    @property
    def loading_group(self) -> str:
        return f"{self.prefix}.loading"

    @property
    def delivering_group(self) -> str:
        return f"{self.prefix}.delivering"

    @property
    def access_writer(self) -> str:
        """The transactional id of whoever changes the topic `access`: one at a time, whatever process it is in."""
        return f"{self.prefix}.access.writer"


@dataclass(frozen=True, slots=True)
class TopicSettings:
    """How topics are made. Retention in ms, -1 for ever; replication -1: as the broker is set up."""

    partitions: int = 8
    replication: int = -1
    requests_retention_ms: int = FOR_EVER
    outputs_retention_ms: int = FOR_EVER
    more: Mapping[str, str] = field(default_factory=dict)

    def seal_topic(self, name: str) -> NewTopic:
        """The topic of the seals' ledger: one partition, kept for ever."""
        config = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
        config |= {"message.timestamp.type": "LogAppendTime", **self.more}
        return NewTopic(name, 1, self.replication, config=config)

    def access_topic(self, name: str) -> NewTopic:
        """The topic of who may do what: one partition, of which the newest record of each key stays for ever."""
        config = {"cleanup.policy": "compact", "message.timestamp.type": "LogAppendTime", **self.more}
        return NewTopic(name, 1, self.replication, config=config)

    def deliveries_topic(self, name: str) -> NewTopic:
        """The topic of what is sent to webhooks: of each delivery the newest record stays until it is removed."""
        config = {"cleanup.policy": "compact", "max.message.bytes": str(MESSAGE_BYTES)}
        config |= {"message.timestamp.type": "LogAppendTime", **self.more}
        return NewTopic(name, self.partitions, self.replication, config=config)

    def new_topic(self, name: str, *, is_input: bool) -> NewTopic:
        retention = self.requests_retention_ms if is_input else self.outputs_retention_ms
        config = {
            "cleanup.policy": "delete",
            "retention.ms": str(retention),
            "retention.bytes": "-1",
            "max.message.bytes": str(MESSAGE_BYTES),
            # Outputs too: the time of an output is when it was written, whatever worker's clock is wrong.
            "message.timestamp.type": "LogAppendTime",
            **self.more,
        }
        return NewTopic(name, self.partitions, self.replication, config=config)


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One thing about a topic that is not as the pipeline needs it."""

    topic: str
    setting: str
    actual: str
    wanted: str
    advice: str

    def __str__(self) -> str:
        return f"{self.topic}: {self.setting} is {self.actual}, {self.wanted} is needed; {self.advice}"


class TopicMismatch(LogError):
    """Topics that are there and wrong; the message names all that is wrong at once."""

    def __init__(self, mismatches: list[Mismatch]) -> None:
        super().__init__("\n".join(str(mismatch) for mismatch in mismatches))
        self.mismatches = mismatches


def ensure_topics(
    bootstrap: str,
    names: TopicNames,
    settings: TopicSettings | None = None,
    *,
    security: Mapping[str, str] | None = None,
    timeout: float = 15.0,
) -> dict[str, str]:
    """Make the topics that are missing and check those that are there. Gives each topic's id (the broker's) by name.

    The ledger of seals and the topics of access and of deliveries are made with them; they hold neither commands nor
    outputs, and are not among those given. Safe to call from several processes at once. `timeout` in seconds bounds the
    whole call.
    Raises TopicMismatch, LogUnavailable when no broker answers, LogError when the broker refuses.
    """
    settings = settings or TopicSettings()
    admin = TopicAdmin(bootstrap, security, timeout)
    wanted = {name: settings.new_topic(name, is_input=name == names.requests) for name in names.all}
    wanted[names.seals] = settings.seal_topic(names.seals)
    wanted[names.access] = settings.access_topic(names.access)
    wanted[names.deliveries] = settings.deliveries_topic(names.deliveries)
    described = admin.describe(wanted)
    missing = [topic for name, topic in wanted.items() if name not in described]
    if missing:
        admin.create(missing)
        admin.wait_for(wanted)
    return _checked(admin, names, settings.partitions)


def check_topics(
    bootstrap: str,
    names: TopicNames,
    partitions: int | None = None,
    *,
    security: Mapping[str, str] | None = None,
    timeout: float = 15.0,
) -> dict[str, str]:
    """Check without making anything; `partitions` None takes what the input topic has. Gives topic ids by name.

    A pipeline of an earlier version has no topic of access or of deliveries: they are checked where they are there.
    Raises TopicMissing, TopicMismatch, LogUnavailable.
    """
    return _checked(TopicAdmin(bootstrap, security, timeout), names, partitions)


def partition_count(
    bootstrap: str, topic: str, *, security: Mapping[str, str] | None = None, timeout: float = 15.0
) -> int:
    """How many partitions the topic has. Raises TopicMissing, LogUnavailable."""
    described = TopicAdmin(bootstrap, security, timeout).must_describe([topic])
    return len(described[topic].partitions)


def _checked(admin: TopicAdmin, names: TopicNames, partitions: int | None) -> dict[str, str]:
    described = admin.must_describe(names.all) | admin.describe([names.access, names.deliveries])
    wanted = len(described[names.requests].partitions) if partitions is None else partitions
    counts = {name: 1 if name == names.access else wanted for name in described}
    mismatches = [
        Mismatch(
            name,
            "the number of partitions",
            str(len(topic.partitions)),
            str(counts[name]),
            _ACCESS_PARTITIONS if name == names.access else _PARTITIONS_ADVICE,
        )
        for name, topic in described.items()
        if len(topic.partitions) != counts[name]
    ]
    config = admin.config(described)
    mismatches += [
        Mismatch(name, "message.timestamp.type", stamp, "LogAppendTime", _CLOCK_ADVICE)
        for name in described
        if (stamp := config[name]["message.timestamp.type"]) != "LogAppendTime"
    ]
    mismatches += [
        Mismatch(name, "cleanup.policy", policy, *wanted_policy)
        for name in described
        if (policy := config[name]["cleanup.policy"]) != (wanted_policy := _policy(name, names))[0]
    ]
    mismatches += [
        Mismatch(
            name, "max.message.bytes", most, str(MESSAGE_BYTES), "a large message would be refused: alter the topic"
        )
        for name in names.all
        if int(most := config[name]["max.message.bytes"]) < MESSAGE_BYTES
    ]
    if mismatches:
        raise TopicMismatch(mismatches)
    return {name: str(described[name].topic_id) for name in names.all}


_PARTITIONS_ADVICE = (
    "it is fixed when a topic is made: set `partitions` to what is there, or choose another topic_prefix"
)
_ACCESS_PARTITIONS = "its records have one order: delete the topic while nothing is in it, and start again"


def _policy(name: str, names: TopicNames) -> tuple[str, str]:
    """The clean-up that a topic needs, and why."""
    if name == names.access:
        return "compact", "keys and their revocations would be deleted with age: alter the topic"
    if name == names.deliveries:
        return "compact", "messages that wait for a webhook would be deleted with age: alter the topic"
    return "delete", "compaction would remove charges: alter the topic"
