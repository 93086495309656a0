"""Sending the corrections of a re-rating, and looking what became of each.

Many more than a person types: they are read one by one, and only where each went is kept in memory.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from application.pipeline import Pipeline
from metering.records import Command, RefundStatus
from streams.log.command_producer import Delivery

_LOOKED_UP_AT_ONCE = 5_000


@dataclass(slots=True)
class SentCorrections:
    """How many corrections were sent, and how many of them were rejected or set aside."""

    refunds: int = 0
    grants: int = 0
    refused: int = 0
    first_refused: str = ""


def send_corrections(pipeline: Pipeline, corrections: Iterable[dict[str, Any]], seconds: float) -> SentCorrections:
    """Sends them in order, waits up to `seconds` for a worker, and counts. Raises LogError, NotDecided."""
    sent = SentCorrections()
    offsets: dict[int, list[int]] = {}

    def delivered(delivery: Delivery) -> None:
        if delivery.error is None:
            offsets.setdefault(delivery.partition, []).append(delivery.offset)

    with pipeline.connections.command_sender(f"rerate@{socket.gethostname()}", delivered) as producer:
        for correction in corrections:
            command = Command(correction["command"])
            producer.send_command(command, correction["record"])
            if command is Command.REFUND:
                sent.refunds += 1
            else:
                sent.grants += 1
    _look_up(pipeline, offsets, seconds, sent)
    return sent


def _look_up(pipeline: Pipeline, offsets: dict[int, list[int]], seconds: float, sent: SentCorrections) -> None:
    results = pipeline.results
    names = pipeline.names
    with pipeline.notices.waiting("waiting for the worker"):
        results.wait_until_decided(
            {partition: max(offsets_of_partition) for partition, offsets_of_partition in offsets.items()}, seconds
        )
        for partition, offsets_of_partition in offsets.items():
            offsets_of_partition.sort()
            for at in range(0, len(offsets_of_partition), _LOOKED_UP_AT_ONCE):
                caused = results.caused_by(partition, offsets_of_partition[at : at + _LOOKED_UP_AT_ONCE])
                for outputs in caused.values():
                    rejected = [
                        refund["refund_id"] for refund in outputs.get(names.refunds, ()) if _is_rejected(refund)
                    ]
                    refused = rejected + [letter["id"] for letter in outputs.get(names.dead_letters, ())]
                    sent.refused += bool(refused)
                    sent.first_refused = sent.first_refused or "".join(refused[:1])


def _is_rejected(refund: dict[str, Any]) -> bool:
    return bool(refund["status"] == RefundStatus.REJECTED)
