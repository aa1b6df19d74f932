"""Verdicts against the truth, over random mixes of faults.

python -m tests.benchmarks.verdict_fuzz --mixes 2000           a service in memory, virtual time
python -m tests.benchmarks.verdict_fuzz --first 17 --mixes 1   one mix again, in full
python -m tests.benchmarks.verdict_fuzz --emulated --mixes 300  the emulator, over real sockets
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections import Counter

import anyio

from tests.property.verdict_fuzz import court, emulated


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mixes", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--emulated", action="store_true", help="against the emulator")
    options = parser.parse_args()
    seeds = range(options.first, options.first + options.mixes)
    began_s = time.perf_counter()
    wrong = _emulated(seeds) if options.emulated else _in_memory(seeds)
    print(f"{time.perf_counter() - began_s:.1f} s")
    sys.exit(1 if wrong else 0)


def _in_memory(seeds: range) -> int:
    tally = court.Tally()
    for trial in court.sit(seeds):
        found = tally.add(trial)
        if found or len(seeds) == 1:
            print(court.told(trial, found))
    print(tally.table())
    return tally.wrong.total()


def _emulated(seeds: range) -> int:
    runs = anyio.run(emulated.sit, seeds, backend_options={"use_uvloop": True})
    cells: Counter[tuple[str, str]] = Counter()
    wrong = 0
    for seed, run in runs:
        cells[emulated.truth(run), run.consistent.value] += 1
        found = list(emulated.contradictions(run))
        wrong += bool(found)
        if found or len(seeds) == 1:
            print(f"seed {seed}: {json.dumps(dataclasses.asdict(emulated.mix(seed)), indent=1)}")
            print(f"truth: {emulated.truth(run)}; missing {sorted(run.missing)}")
            for finding in run.document["findings"]:
                print(f"  {finding['verdict']:8} {finding['check']}: {finding['summary']}")
            print("\n".join(f"  WRONG {text}" for text in found))
    print(emulated.confusion(cells))
    print(f"{len(runs)} mixes, {wrong} wrong")
    return wrong


if __name__ == "__main__":
    main()
