"""How much memory do many copies take? ``python -m tests.benchmarks.memory``.

A closed load, as fast as the emulator answers. What must hold: 1,000,000 copies stay below 200 MB
in the generator. ``--long 10000000`` sends as many copies to the trivial server instead, everything
but the verification on, and tells what memory does after the first million: it must stay flat.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import psutil

from tests.benchmarks.harness import cores, loadcheck, report, send_only, target

_COPIES = (10_000, 1_000_000)
_FIRST = 1_000_000


def short() -> tuple[dict[str, Any], list[tuple[str, ...]]]:
    """Send to the emulator."""
    figures = {}
    rows: list[tuple[str, ...]] = [("copies", "verdict", "peak memory")]
    for copies in _COPIES:
        document = loadcheck(
            "scenarios/closed.toml",
            *("--set", f"load.copies={copies}", "--set", "load.duration=20m"),
        )
        peak_bytes = document["generator"]["peak_memory_bytes"]
        figures[str(copies)] = {"verdict": document["verdict"], "peak_memory_bytes": peak_bytes}
        rows.append((f"{copies:,}", document["verdict"], f"{peak_bytes / 1e6:.0f} MB"))
    return figures, rows


def long(copies: int) -> tuple[dict[str, Any], list[tuple[str, ...]]]:
    """Send to the trivial server and look at the generator's memory again and again."""
    seen: list[tuple[int, int]] = []
    ours, theirs = cores()

    def watch(pid: int, result: Path) -> None:
        try:
            started = json.loads(result.read_bytes())["copies"]["started"]
            seen.append((started, psutil.Process(pid).memory_info().rss))
        except (OSError, ValueError, psutil.Error):
            return  # not there yet, or gone

    load = f'model = "closed"\nconcurrency = 64\ncopies = {copies}'
    with target(theirs) as port:
        document = send_only(port, load, ours, timeout_s=7200, watch=watch)
    after = [(started, rss) for started, rss in seen if started >= min(_FIRST, copies // 2)]
    first, last, most = after[0], after[-1], max(rss for _, rss in after)
    figures = {
        "copies": document["copies"]["acknowledged"],
        "after_the_first_million_bytes": first[1],
        "at_the_end_bytes": last[1],
        "most_bytes": most,
        "growth": most / first[1] - 1,
    }
    rows: list[tuple[str, ...]] = [("copies", "memory")]
    step = max(1, len(after) // 10)
    rows += [(f"{started:,}", f"{rss / 1e6:.0f} MB") for started, rss in after[::step]]
    rows.append(("growth after the first million", f"{figures['growth']:.1%}"))
    return figures, rows


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--long", type=int, metavar="COPIES", help="see above")
    options = parser.parse_args()
    figures, rows = short() if options.long is None else long(options.long)
    report(figures, rows, as_json=options.json)


if __name__ == "__main__":
    main()
