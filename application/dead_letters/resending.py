"""Sending dead letters to the input again, each marked with the place that it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from application.dead_letters.corrections import CorrectedLetter
from application.dead_letters.reading import DeadLetter, DeadLetterLog
from application.dead_letters.resent import CORRECTED_HEADER, REPLAY_HEADER, Replay, ReplayLog
from application.pipeline import Pipeline
from schemas.catalog import COMMANDS
from streams import clock
from streams.log.place import Place
from streams.log.protocols import PRODUCER_HEADER

Sent = Mapping[Place, tuple[int, int]]
"""By the letter's place, the partition and offset of its replay."""


def resend(
    pipeline: Pipeline, log: DeadLetterLog, letters: Sequence[DeadLetter], correction: CorrectedLetter | None = None
) -> Sent:
    """Sends the letters in order, or the correction of the only one, and waits for every acknowledgement.

    Headers say who sent a letter first, what it is a replay of, and whether it was edited. Raises LogError.
    """
    for letter in letters:
        if correction is None and letter.is_cut:
            log.original(letter)  # where it cannot be had, this ends before any letter is sent
    sender = pipeline.connections.raw_sender()
    for letter in letters:
        headers = {REPLAY_HEADER: str(letter.place).encode()}
        if letter.record["producer"] is not None:
            headers = {PRODUCER_HEADER: letter.record["producer"].encode(), **headers}
        if correction is None:
            partition, value = log.target(letter), log.original(letter)
        else:
            partition, value = correction.partition, correction.value
            headers[CORRECTED_HEADER] = b"true"
        sender.send(partition, value, headers, str(letter.place))
    places = sender.finish()
    return {letter.place: places[str(letter.place)] for letter in letters}


def outcomes(
    pipeline: Pipeline, sent: Sent, letters: Sequence[DeadLetter], correction: CorrectedLetter | None, seconds: float
) -> list[Replay]:
    """What became of each, in the order of the letters. Raises NotDecided, LogError."""
    last: dict[int, int] = {}
    for partition, offset in sent.values():
        last[partition] = max(offset, last.get(partition, -1))
    now, topic = clock.now_ms(), pipeline.names.requests
    replays = []
    for letter in letters:
        command = letter.record["command"] if correction is None else COMMANDS[correction.name]
        replays.append(Replay(letter.place, topic, *sent[letter.place], now, correction is not None, command))
    with pipeline.notices.waiting("waiting for the worker"):
        pipeline.results.wait_until_decided(last, seconds)
        judged = {replay.of: replay for replay in ReplayLog(pipeline).judged(replays, last)}
    return [judged[letter.place] for letter in letters]
