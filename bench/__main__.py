"""`python -m bench` (make bench): events a second, CPU an event, and latency, side by side in one run."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.backlog import batched, single
from bench.contest import Contestant, Figures, Place, credits_billed, lines, outputs, race
from bench.decisions import measure as measure_decisions
from bench.decisions import report as report_decisions
from bench.entries import (
    CEILING,
    ONE,
    ONE_INTERPRETED,
    PEERS,
    PLAIN,
    QUIX,
    STREAMS_AT_LEAST,
    STREAMS_EXACTLY,
    TWO,
    TWO_INTERPRETED,
    own_entries,
    peer_entries,
)  # fmt: skip
from bench.events import BATCH, PARTITIONS
from bench.http import measure as measure_http
from bench.http import report as report_http
from bench.latency import Latency
from bench.latency import measure as measure_latency
from bench.loading import measured as measure_loader
from bench.loading import report as report_loader
from bench.machine import description
from bench.memory import measure as measure_memory
from bench.memory import report as report_memory
from bench.table import print_table, ratios
from bench.takeover import measure as measure_takeover
from bench.takeover import report as report_takeover
from local.start import start_kafka
from metering.compiled import MODE
from schemas.codec import Codec


def main() -> int:
    options = _options()
    codec = Codec()
    result: dict[str, Any] = {"machine": description()}
    result["code"] = str(MODE)
    _say(f"{result['machine']}; {MODE}")
    if options.loader:
        result["loader"] = [loading._asdict() for loading in report_loader(measure_loader(options.loader))]
        return _printed(result, options)
    with tempfile.TemporaryDirectory(prefix="creditmeter-bench-") as scratch:
        place_folder = Path(scratch)
        kafka = start_kafka(place_folder / "kafka")
        try:
            place = Place(kafka.bootstrap, place_folder)
            if options.memory:
                samples = report_memory(measure_memory(place, codec, options.memory))
                result["memory"] = [sample._asdict() for sample in samples]
            elif options.decisions:
                waits = []
                for bulk in (0.0, *options.beside):
                    waits.append(measure_decisions(place, codec, options.waiting, options.decisions, bulk))
                    report_decisions(waits[-1])
                result["decisions"] = [each._asdict() for each in waits]
            elif options.http:
                result["http"] = _over_http(place, codec, options.http)
            elif options.takeover:
                history, found = measure_takeover(place, codec, options.takeover)
                report_takeover(history, found)
                result["takeover"] = {**history._asdict(), "starts": [each._asdict() for each in found]}
            else:
                result |= _contest(options, place, codec)
        finally:
            kafka.stop()
    return _printed(result, options)


def _printed(result: dict[str, Any], options: argparse.Namespace) -> int:
    if options.json:
        json.dump(result, sys.stdout, indent=2)
        print()
    return 0


def _contest(options: argparse.Namespace, place: Place, codec: Codec) -> dict[str, Any]:
    """Every contestant in each round, one after another; the figures are medians of the rounds."""
    batch_count = options.events // BATCH // PARTITIONS * PARTITIONS
    plain_count = options.plain_events // BATCH // PARTITIONS * PARTITIONS
    _say(f"making {batch_count * BATCH:,} events; what is slow gets the first {plain_count * BATCH:,} of them")
    work, plain_work = batched(batch_count, codec), single(plain_count, codec)
    entries = own_entries() | (peer_entries(place.folder) if options.peers else {})
    wanted = [title for title in entries if not options.only or any(word in title for word in options.only)]
    if not any(title not in {PLAIN, *PEERS} for title in wanted) and any(title in PEERS for title in wanted):
        raise SystemExit("the peers' bills are compared with the pipeline's: --only must leave it in")
    figures: dict[str, list[Figures]] = {title: [] for title in wanted}
    digests: dict[str, str] = {}
    bills: list[tuple[str, str, int]] = []
    for number in range(options.rounds):
        for index, title in enumerate(wanted):
            prefix = f"bench-{number}-{index}"
            contestant = Contestant(prefix, title, entries[title])
            is_slow = entries[title].is_slow
            own_work = plain_work if title == PLAIN else work[:plain_count] if is_slow else work
            found = race(contestant, place, own_work, codec)
            figures[title].append(found)
            _say(f"{title}: {found.rate:,.0f} events/s, {found.cpu_micros:.0f} µs CPU an event")
            if title in PEERS:
                bills.append((title, prefix, plain_count if is_slow else batch_count))
            elif title != PLAIN:
                digests[prefix] = outputs(place, prefix)
            elif number == 0:
                plain_credits = credits_billed(place, prefix, codec, 0)
    if len(set(digests.values())) > 1:
        raise SystemExit(f"the contestants did not write the same bytes: {digests}")
    if PLAIN in wanted and digests:
        batch_credits = credits_billed(place, next(iter(digests)), codec, plain_count)
        if plain_credits != batch_credits:
            raise SystemExit(f"plain Faust charged {plain_credits:,} credits, the pipeline {batch_credits:,}")
    if bills:
        _compare(place, codec, next(iter(digests)), bills)
    middle = {title: _middle(each) for title, each in figures.items()}
    latency = None
    if ONE in middle and options.latency:
        rate = middle[ONE].rate / 2
        _say(f"latency: {rate:,.0f} events/s for {options.latency:.0f} s, worker and loader at work")
        latency = measure_latency(place, codec, rate, options.latency)
    return _reported(middle, latency)


def _compare(place: Place, codec: Codec, prefix: str, bills: list[tuple[str, str, int]]) -> None:
    """Ends the run unless each peer (title, its prefix, messages) made the lines that the pipeline made."""
    own = {messages: lines(place, prefix, codec, messages) for messages in {bill[2] for bill in bills}}
    for title, peer, messages in bills:
        bill = lines(place, peer, codec, messages)
        if bill != own[messages]:
            raise SystemExit(f"{title} made {bill}, the pipeline {own[messages]}: no figure of this run counts")
        _say(f"{title}: {bill.credits:,} credits in {bill.lines:,} lines, as the pipeline's, field by field")


def _over_http(place: Place, codec: Codec, seconds: float) -> dict[str, Any]:
    _say(f"events over HTTP, {seconds:.0f} s each way")
    rates, waits = measure_http(place, codec, seconds)
    report_http(rates, waits)
    return {"rates": [rate._asdict() for rate in rates], "waits": waits._asdict()}


def _reported(middle: dict[str, Figures], latency: Latency | None) -> dict[str, Any]:
    compared = ratios(
        middle, (("pipeline / plain Faust", ONE, PLAIN, 8.0), ("pipeline / ceiling", ONE, CEILING, 0.75),
                 ("two processes / one", TWO, ONE, 1.6), ("one compiled / interpreted", ONE, ONE_INTERPRETED, 1.2),
                 ("two compiled / interpreted", TWO, TWO_INTERPRETED, 1.2),
                 ("two processes / Streams, exactly", TWO, STREAMS_EXACTLY, 2.0),
                 ("two processes / Streams, at least", TWO, STREAMS_AT_LEAST, 1.0),
                 ("one process / Quix Streams", ONE, QUIX, 1.0))
    )  # fmt: skip
    print_table(middle, compared, latency)
    return {
        "contestants": {
            title: {"events_per_second": round(each.rate), "cpu_micros_per_event": round(each.cpu_micros, 1)}
            for title, each in middle.items()
        },
        "ratios": {each.name: {"found": round(each.found, 3), "wanted": each.wanted} for each in compared},
        "latency_seconds": None if latency is None else latency._asdict(),
    }


def _middle(rounds: list[Figures]) -> Figures:
    """The round with the median rate; of two, the slower."""
    return sorted(rounds, key=lambda each: each.rate)[(len(rounds) - 1) // 2]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--events", type=int, default=320_000, help="for each of the other contestants")
    parser.add_argument(
        "--plain-events", type=int, default=32_000, help="for plain Faust and Quix Streams, which take their time"
    )
    parser.add_argument("--rounds", type=int, default=1, help="run all contestants so many times; medians are shown")
    parser.add_argument("--latency", type=float, default=25.0, metavar="SECONDS", help="0: leave it out")
    parser.add_argument("--only", action="append", metavar="WORD", help="contestants with this word in their title")
    parser.add_argument(
        "--peers", action="store_true", help="Kafka Streams and Quix Streams too, fetched when they are not"
    )
    parser.add_argument("--memory", type=int, default=0, metavar="MILLIONS", help="only the worker's memory, so long")
    parser.add_argument(
        "--takeover", type=float, default=0, metavar="MILLIONS", help="only how long a start on an empty disk takes"
    )
    parser.add_argument(
        "--decisions", type=float, default=0, metavar="SECONDS", help="only how soon a waiting caller sees a decision"
    )
    parser.add_argument(
        "--http", type=float, default=0, metavar="SECONDS", help="only events over HTTP, so long for each way"
    )
    parser.add_argument("--waiting", type=float, default=300, metavar="RATE", help="with --decisions: waiting events/s")
    parser.add_argument(
        "--beside", type=float, nargs="*", default=[20_000.0], metavar="RATE", help="with --decisions: bulk events/s"
    )
    parser.add_argument("--loader", type=int, default=0, metavar="EVENTS", help="only the loader's CPU, without Kafka")
    parser.add_argument("--json", action="store_true", help="the figures on stdout as JSON")
    return parser.parse_args()


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
