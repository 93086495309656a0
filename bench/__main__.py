"""`python -m bench` (make bench): events a second, CPU an event, and latency, side by side in one run.

Without an option that picks one measurement, all of it: the contestants, then from event to ClickHouse at half of the
pipeline's rate, then end to end under more than it manages, then over HTTP, then customers' reads of many rows.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bench import end_to_end, http, latency, usage_reads
from bench.contest import Place
from bench.decisions import measure as measure_decisions
from bench.decisions import report as report_decisions
from bench.entries import (
    CEILING,
    ONE,
    ONE_INTERPRETED,
    PLAIN,
    QUIX,
    STREAMS_AT_LEAST,
    STREAMS_EXACTLY,
    TWO,
    TWO_INTERPRETED,
)
from bench.loading import measured as measure_loader
from bench.loading import report as report_loader
from bench.machine import description
from bench.memory import measure as measure_memory
from bench.memory import report as report_memory
from bench.rounds import Rounds, say
from bench.rounds import measure as measure_rounds
from bench.table import Speed, print_table, ratios
from bench.takeover import measure as measure_takeover
from bench.takeover import report as report_takeover
from local.start import start_kafka
from metering.compiled import MODE
from schemas.codec import Codec

END_TO_END = "end to end, visible in ClickHouse"
END_TO_END_SECONDS = 15.0
HTTP_SECONDS = 5.0
"""What the two take in a run of everything."""
COMPARED: tuple[tuple[str, str, str, float | None], ...] = (
    ("pipeline / plain Faust", ONE, PLAIN, 8.0),
    ("pipeline / ceiling", ONE, CEILING, 0.75),
    ("two processes / one", TWO, ONE, 1.6),
    ("one compiled / interpreted", ONE, ONE_INTERPRETED, 1.2),
    ("two compiled / interpreted", TWO, TWO_INTERPRETED, 1.2),
    ("two processes / Streams, exactly", TWO, STREAMS_EXACTLY, 2.0),
    ("two processes / Streams, at least", TWO, STREAMS_AT_LEAST, 1.0),
    ("one process / Quix Streams", ONE, QUIX, 1.0),
    ("end to end / one process", END_TO_END, ONE, None),
    *http.comparisons(),
)
"""(name, above, below, at least)"""


def main() -> int:
    options = _options()
    codec = Codec()
    result: dict[str, Any] = {"machine": description(), "code": str(MODE)}
    say(f"{result['machine']}; {MODE}")
    if options.loader:
        result["loader"] = [loading._asdict() for loading in report_loader(measure_loader(options.loader))]
        return _printed(result, options)
    with tempfile.TemporaryDirectory(prefix="creditmeter-bench-") as scratch:
        folder = Path(scratch)
        kafka = start_kafka(folder / "kafka")
        try:
            place = Place(kafka.bootstrap, folder)
            if options.memory:
                samples = report_memory(measure_memory(place, codec, options.memory))
                result["memory"] = [sample._asdict() for sample in samples]
            elif options.decisions:
                waits = []
                for bulk in (0.0, *options.beside):
                    waits.append(measure_decisions(place, codec, options.waiting, options.decisions, bulk))
                    report_decisions(waits[-1])
                result["decisions"] = [each._asdict() for each in waits]
            elif options.takeover:
                history, starts = measure_takeover(place, codec, options.takeover)
                report_takeover(history, starts)
                result["takeover"] = {**history._asdict(), "starts": [each._asdict() for each in starts]}
            else:
                result |= _side_by_side(options, place, codec)
        finally:
            kafka.stop()
    return _printed(result, options)


def _printed(result: dict[str, Any], options: argparse.Namespace) -> int:
    if options.json:
        json.dump(result, sys.stdout, indent=2)
        print()
    return 0


def _side_by_side(options: argparse.Namespace, place: Place, codec: Codec) -> dict[str, Any]:
    """The contestants and what is measured beside them, as far as it is asked for, and the table of all of it."""
    speeds: dict[str, Speed] = {}
    more: list[list[str]] = []
    result: dict[str, Any] = {}
    if not _picks_one(options):
        rounds = Rounds(options.events, options.plain_events, options.rounds, options.only or (), options.peers)
        speeds |= measure_rounds(place, codec, rounds)
    if seconds := _size(options, options.end_to_end, END_TO_END_SECONDS):
        say(f"end to end: {options.sending:,.0f} events/s sent for {seconds:.0f} s, worker and loader at work")
        visible = end_to_end.measure(place, codec, options.sending, seconds)
        more.append(end_to_end.report(visible))
        speeds[END_TO_END] = visible
        result["end_to_end"] = {**visible._asdict(), "is_flat": visible.is_flat}
    if ONE in speeds and options.latency:
        rate = min(speed.rate for name, speed in speeds.items() if name in (ONE, END_TO_END)) / 2
        say(f"latency: {rate:,.0f} events/s for {options.latency:.0f} s, worker and loader at work")
        half = latency.measure(place, codec, rate, options.latency)
        more.append(latency.report(half))
        result["latency_seconds"] = half._asdict()
    if seconds := _size(options, options.http, HTTP_SECONDS):
        say(f"events over HTTP, {seconds:.0f} s each way")
        over_http = http.measure(place, codec, seconds)
        more.append(http.report(over_http))
        speeds |= over_http.speeds
        result["waits"] = over_http.waits._asdict()
    if rows := round(_size(options, options.reads, usage_reads.ROWS)):
        say(f"customers' reads: making {rows:,} rows")
        reads = usage_reads.measure(place.folder / "reads", rows)
        more.append(usage_reads.report(rows, reads))
        result["reads"] = [each._asdict() for each in reads]
    return result | _tabled(speeds, more)


def _size(options: argparse.Namespace, given: float | None, usual: float) -> float:
    """In seconds or rows: 0 where it is left out, and where another one or some contestants are asked for."""
    if given is not None:
        return given
    return 0.0 if options.only or _picks_one(options) else usual


def _picks_one(options: argparse.Namespace) -> bool:
    return bool(options.http or options.end_to_end or options.reads)


def _tabled(speeds: Mapping[str, Speed], more: Iterable[list[str]]) -> dict[str, Any]:
    compared = ratios(speeds, COMPARED)
    print_table(speeds, compared, list(more))
    return {
        "speeds": {
            title: {"events_per_second": round(speed.rate), "cpu_micros_per_event": round(speed.cpu_micros, 1)}
            for title, speed in speeds.items()
        },
        "ratios": {each.name: {"found": round(each.found, 3), "wanted": each.wanted} for each in compared},
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    add = parser.add_argument
    add("--events", type=int, default=320_000, help="for each of the other contestants")
    add("--plain-events", type=int, default=32_000, help="for plain Faust and Quix Streams, which take their time")
    add("--rounds", type=int, default=1, help="run all contestants so many times; medians are shown")
    add("--latency", type=float, default=25.0, metavar="SECONDS", help="0: leave it out")
    add("--only", action="append", metavar="WORD", help="contestants with this word in their title, no HTTP or so")
    add("--peers", action="store_true", help="Kafka Streams and Quix Streams too, fetched when they are not")
    add("--end-to-end", type=float, metavar="SECONDS", help="only visible events/s, so long; 0: leave it out")
    add("--sending", type=float, default=45_000.0, metavar="RATE", help="events/s that are sent for that")
    add("--http", type=float, metavar="SECONDS", help="only events over HTTP, so long for each way; 0: leave it out")
    add("--reads", type=int, metavar="ROWS", help="only customers' reads over so many rows; 0: leave them out")
    add("--memory", type=int, default=0, metavar="MILLIONS", help="only the worker's memory, so long")
    add("--takeover", type=float, default=0, metavar="MILLIONS", help="only how long a start on an empty disk takes")
    add("--decisions", type=float, default=0, metavar="SECONDS", help="only how soon a waiting caller sees a decision")
    add("--waiting", type=float, default=300, metavar="RATE", help="with --decisions: waiting events/s")
    add("--beside", type=float, nargs="*", default=[20_000.0], metavar="RATE", help="with --decisions: bulk events/s")
    add("--loader", type=int, default=0, metavar="EVENTS", help="only the loader's CPU, without Kafka")
    add("--json", action="store_true", help="the figures on stdout as JSON")
    options = parser.parse_args()
    if 0 < options.latency <= latency.WARM_SECONDS:
        parser.error(f"--latency: the first {latency.WARM_SECONDS:g} s warm up; ask for more, or for 0")
    return options


if __name__ == "__main__":
    sys.exit(main())
