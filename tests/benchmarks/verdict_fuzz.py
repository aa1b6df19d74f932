"""Verdicts against the truth, over random mixes of faults of a service in memory.

python -m tests.benchmarks.verdict_fuzz --mixes 2000           the table, and what went wrong
python -m tests.benchmarks.verdict_fuzz --first 17 --mixes 1   one mix again, in full
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.property.verdict_fuzz.court import Tally, sit, told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mixes", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--quiet", action="store_true", help="only the table")
    options = parser.parse_args()
    began_s = time.perf_counter()
    tally = Tally()
    for trial in sit(range(options.first, options.first + options.mixes)):
        wrong = tally.add(trial)
        if (wrong and not options.quiet) or options.mixes == 1:
            print(told(trial, wrong))
    print(tally.table())
    print(f"{time.perf_counter() - began_s:.1f} s")
    sys.exit(1 if tally.wrong else 0)


if __name__ == "__main__":
    main()
