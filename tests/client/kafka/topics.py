"""The topics of one pipeline, written to as its workers do."""

from schemas.codec import Codec
from streams.log.output_log import KafkaOutputLog
from streams.log.pipeline_seals import PipelineSeals
from streams.log.seal_ledger import SealKeys
from streams.log.seals import Sealer
from streams.log.topics import TopicNames, TopicSettings, check_topics, ensure_topics
from tests.schemas.records import LINE

PARTITIONS = 4
KEY = b"a key of this test, 32 bytes or so"


class Topics:
    """The topics of one pipeline, with a hand that writes outputs as a worker does."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self.bootstrap = bootstrap
        self.prefix = prefix
        self.names = TopicNames(prefix)
        ensure_topics(bootstrap, self.names, TopicSettings(partitions=PARTITIONS))
        self.log_id = check_topics(bootstrap, self.names)[self.names.requests]

    def begin_seals(self) -> None:
        """From the beginning on, records count that are sealed with `KEY`."""
        seals = PipelineSeals(self.bootstrap, self.names, SealKeys(self.log_id, KEY))
        seals.begun(PARTITIONS)
        seals.close()

    def write(self, partition: int, offsets: list[int], key: bytes | None = KEY) -> None:
        """One billed batch for each source offset, with one line; no key: without a seal."""
        codec = Codec()
        sealer = None if key is None else Sealer(key)
        out = KafkaOutputLog(self.bootstrap, lambda _value: (0, 0), seals=sealer)
        for offset in offsets:
            (value,) = codec.encode_parts("BilledBatch", partition, offset, [{**LINE, "event_id": f"e{offset}"}])
            out.send(self.names.billed, partition, value)
        out.wait()
        out.close()
