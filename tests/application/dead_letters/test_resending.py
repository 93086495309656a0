"""Sending letters again: their bytes, partition and headers, and the outcome of each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from application.dead_letters.corrections import CorrectedLetter, read_correction
from application.dead_letters.reading import DeadLetter, DeadLetterLog
from application.dead_letters.resending import outcomes, resend
from application.dead_letters.resent import CORRECTED_HEADER, REPLAY_HEADER, ReplayOutcome
from application.pipeline import Pipeline
from streams.log.protocols import PRODUCER_HEADER, LostPrefix
from streams.log.results import NotDecided
from tests.application.in_memory_world import event, memory_of, priced_pipeline, send

SECONDS = 10


def letters_of(pipeline: Pipeline) -> tuple[DeadLetterLog, list[DeadLetter]]:
    log = DeadLetterLog.of(pipeline)
    return log, list(log.read())


def headers_at(pipeline: Pipeline, partition: int, offset: int) -> Mapping[str, bytes]:
    return memory_of(pipeline).broker.headers(pipeline.names.requests, partition, offset)


def corrected(pipeline: Pipeline, log: DeadLetterLog, letter: DeadLetter, **fields: object) -> CorrectedLetter:
    decoded = log.decoded(log.original(letter))
    assert decoded is not None
    record = {"events": [decoded[1]["events"][0] | fields]}
    text = json.dumps({"decoded": {"name": decoded[0], "record": record}})
    return read_correction(text, str(letter.place), pipeline.codec, pipeline.partitions)


def test_a_letter_goes_out_alone_with_its_place_and_its_first_producer(tmp_path: Path) -> None:
    pipeline = priced_pipeline(tmp_path)
    send(pipeline, event("good"), event("bad", ip="nowhere"))
    log, (letter,) = letters_of(pipeline)
    sent = resend(pipeline, log, [letter])
    partition, offset = sent[letter.place]
    (message,) = pipeline.input_log.read(partition, offset, offset + 1)
    _, batch = pipeline.codec.decode(message.value)
    assert [own["event_id"] for own in batch["events"]] == ["bad"], "the good one of its batch isn't sent again"
    headers = headers_at(pipeline, partition, offset)
    assert headers[REPLAY_HEADER] == str(letter.place).encode()
    assert headers[PRODUCER_HEADER].startswith(b"emit@")
    assert CORRECTED_HEADER not in headers
    (replay,) = outcomes(pipeline, sent, [letter], None, SECONDS)
    assert (replay.outcome, replay.corrected) == (ReplayOutcome.SET_ASIDE, False)


def test_outcomes_come_in_the_order_of_the_letters(tmp_path: Path) -> None:
    pipeline = priced_pipeline(tmp_path, partitions=2)
    accounts = [f"account-{number}" for number in range(6)]
    send(pipeline, *(event("bad", account, ip="nowhere") for account in accounts))
    log, letters = letters_of(pipeline)
    assert len({letter.place.partition for letter in letters}) == 2
    backwards = letters[::-1]
    sent = resend(pipeline, log, backwards)
    replays = outcomes(pipeline, sent, backwards, None, SECONDS)
    assert [replay.of for replay in replays] == [letter.place for letter in backwards]
    assert [(replay.partition, replay.offset) for replay in replays] == [sent[letter.place] for letter in backwards]


def test_a_correction_goes_to_its_own_accounts_partition_and_is_marked(tmp_path: Path) -> None:
    pipeline = priced_pipeline(tmp_path, partitions=8)
    send(pipeline, event("bad", ip="nowhere"))
    log, (letter,) = letters_of(pipeline)
    correction = corrected(pipeline, log, letter, account_id="another", ip=None)
    assert correction.partition != letter.place.partition
    sent = resend(pipeline, log, [letter], correction)
    assert sent[letter.place][0] == correction.partition
    assert headers_at(pipeline, *sent[letter.place])[CORRECTED_HEADER] == b"true"
    (replay,) = outcomes(pipeline, sent, [letter], correction, SECONDS)
    assert (replay.outcome, replay.corrected) == (ReplayOutcome.ACCEPTED, True)


def test_the_same_correction_again_is_a_repeat(tmp_path: Path) -> None:
    pipeline = priced_pipeline(tmp_path)
    send(pipeline, event("bad", ip="nowhere"))
    log, (letter,) = letters_of(pipeline)
    correction = corrected(pipeline, log, letter, ip="203.0.113.9")
    decided = []
    for _ in range(2):
        sent = resend(pipeline, log, [letter], correction)
        decided += [replay.outcome for replay in outcomes(pipeline, sent, [letter], correction, SECONDS)]
    assert decided == [ReplayOutcome.ACCEPTED, ReplayOutcome.REPEATED]


def test_nothing_is_sent_where_one_letters_bytes_are_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = priced_pipeline(tmp_path)
    send(pipeline, event("short", ip="nowhere"))
    send(pipeline, event("long", ip="nowhere", attributes={f"n{number}": "x" * 1_024 for number in range(32)}))
    log, letters = letters_of(pipeline)
    end = pipeline.input_log.bounds(0)[1]
    cut = [DeadLetter(letter.place, letter.record | {"size": len(letter.record["original"]) + 1}) for letter in letters]
    memory_of(pipeline).broker.expire(pipeline.names.requests, 0, end)
    monkeypatch.setattr(memory_of(pipeline), "raw_sender", lambda: pytest.fail("the first letter was sent"))
    with pytest.raises(LostPrefix):
        resend(pipeline, log, [letters[0], cut[1]])


def test_without_a_worker_the_outcome_is_waited_for_in_vain(tmp_path: Path) -> None:
    pipeline = priced_pipeline(tmp_path)
    send(pipeline, event("bad", ip="nowhere"))
    memory_of(pipeline).after_sending = lambda: None
    log, (letter,) = letters_of(pipeline)
    with pytest.raises(NotDecided):
        outcomes(pipeline, resend(pipeline, log, [letter]), [letter], None, 0.1)
