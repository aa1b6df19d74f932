"""Kills at random instants: ``python -m tests.benchmarks.kills [--each 50] [--seed 1] [WHO …]``.

WHO is shard, coordinator, worker (of a Dask cluster) or nanny; all of them without; stop kills
nobody: the run is interrupted, and told when the last worker started its last copy. Fifty of each
take some fifty minutes. What must hold each time is in ``tests/cli/kills.py``; beyond that the run
must tell of a kill within a second. A seed says at which instants.
"""

from __future__ import annotations

import argparse
import sys

from tests.benchmarks.harness import report
from tests.cli import kills

WHO = {
    "shard": kills.kill_shard,
    "coordinator": kills.kill_coordinator,
    "worker": kills.kill_worker,
    "nanny": kills.kill_nanny,
    "stop": kills.stop,
}


def main() -> int:
    """Run the benchmark; return 1 if something did not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("who", nargs="*", choices=[[], *WHO], help="who is killed")
    parser.add_argument("--each", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    rows, figures, wrong = [("killed", "times", "held", "told after, at most", "must be")], {}, 0
    for who in options.who or WHO:
        told, failed = [], 0
        for number, after_s in enumerate(kills.instants(options.each, options.seed)):
            try:
                came = WHO[who](after_s)
            except AssertionError as error:
                failed += 1
                print(f"{who} {number}, after {after_s:.2f} s: {error}", file=sys.stderr)
                continue
            told += [came.told_s] if came.told_s is not None else []
            print(f"{who} {number}, after {after_s:.2f} s: {came}", file=sys.stderr)
        wrong += failed
        figures[who] = {"times": options.each, "failed": failed, "told_s": sorted(told)}
        most = f"{max(told):.2f} s" if told else "–"
        must = "<= 1 s" if told else ""
        rows.append((who, str(options.each), str(options.each - failed), most, must))
    report(figures, rows, as_json=options.json)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
