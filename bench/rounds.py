"""Every contestant in each round, one after another. The run ends where two of them did not make the same bill."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

from bench.backlog import batched, single
from bench.contest import Contestant, Entry, Figures, Place, credits_billed, lines, outputs, race
from bench.entries import PEERS, PLAIN, own_entries, peer_entries
from bench.events import BATCH, PARTITIONS
from schemas.codec import Codec


class Rounds(NamedTuple):
    """What is run: so many events for each contestant (``plain_events`` for slow ones), so many times.

    ``only``: contestants with one of these words in their title; none: all of them.
    """

    events: int
    plain_events: int
    times: int = 1
    only: Sequence[str] = ()
    with_peers: bool = False


def measure(place: Place, codec: Codec, rounds: Rounds) -> dict[str, Figures]:
    """The figures of each contestant, by title: those of the round with the median rate."""
    batch_count = rounds.events // BATCH // PARTITIONS * PARTITIONS
    plain_count = rounds.plain_events // BATCH // PARTITIONS * PARTITIONS
    say(f"making {batch_count * BATCH:,} events; what is slow gets the first {plain_count * BATCH:,} of them")
    work, plain_work = batched(batch_count, codec), single(plain_count, codec)
    entries = _wanted(place, rounds)
    figures: dict[str, list[Figures]] = {title: [] for title in entries}
    digests: dict[str, str] = {}
    bills: list[tuple[str, str, int]] = []
    plain_prefix = None
    for number in range(rounds.times):
        for index, (title, entry) in enumerate(entries.items()):
            prefix = f"bench-{number}-{index}"
            own_work = plain_work if title == PLAIN else work[:plain_count] if entry.is_slow else work
            taken = race(Contestant(prefix, title, entry), place, own_work, codec)
            figures[title].append(taken)
            say(f"{title}: {taken.rate:,.0f} events/s, {taken.cpu_micros:.0f} µs CPU an event")
            if title in PEERS:
                bills.append((title, prefix, plain_count if entry.is_slow else batch_count))
            elif title == PLAIN:
                plain_prefix = prefix
            else:
                digests[prefix] = outputs(place, prefix)
    if len(set(digests.values())) > 1:
        raise SystemExit(f"the contestants did not write the same bytes: {digests}")
    if plain_prefix is not None and digests:
        _compare_credits(place, codec, plain_prefix, next(iter(digests)), plain_count)
    if bills:
        _compare_lines(place, codec, next(iter(digests)), bills)
    return {title: _middle(each) for title, each in figures.items()}


def say(text: str) -> None:
    """Prints what is going on, with the time of day."""
    print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)


def _wanted(place: Place, rounds: Rounds) -> dict[str, Entry]:
    entries = own_entries() | (peer_entries(place.folder) if rounds.with_peers else {})
    wanted = [title for title in entries if not rounds.only or any(word in title for word in rounds.only)]
    if not any(title not in {PLAIN, *PEERS} for title in wanted) and any(title in PEERS for title in wanted):
        raise SystemExit("the peers' bills are compared with the pipeline's: --only must leave it in")
    return {title: entries[title] for title in wanted}


def _compare_credits(place: Place, codec: Codec, plain: str, prefix: str, plain_count: int) -> None:
    plain_credits = credits_billed(place, plain, codec, 0)
    batch_credits = credits_billed(place, prefix, codec, plain_count)
    if plain_credits != batch_credits:
        raise SystemExit(f"plain Faust charged {plain_credits:,} credits, the pipeline {batch_credits:,}")


def _compare_lines(place: Place, codec: Codec, prefix: str, bills: list[tuple[str, str, int]]) -> None:
    """Ends the run unless each peer (title, its prefix, messages) made the lines that the pipeline made."""
    own = {messages: lines(place, prefix, codec, messages) for messages in {bill[2] for bill in bills}}
    for title, peer, messages in bills:
        bill = lines(place, peer, codec, messages)
        if bill != own[messages]:
            raise SystemExit(f"{title} made {bill}, the pipeline {own[messages]}: no figure of this run counts")
        say(f"{title}: {bill.credits:,} credits in {bill.lines:,} lines, as the pipeline's, field by field")


def _middle(rounds: list[Figures]) -> Figures:
    """The round with the median rate; of two, the slower."""
    return sorted(rounds, key=lambda each: each.rate)[(len(rounds) - 1) // 2]
