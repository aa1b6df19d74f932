"""Verdicts against the truth, over random mixes of faults, loads and seeds.

python -m tests.benchmarks.tribunal --mixes 300           the confusion table
python -m tests.benchmarks.tribunal --first 17 --mixes 1  one mix again, in full
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections import Counter

import anyio

from tests.pipeline.arena import Judged
from tests.pipeline.tribunal import confusion, contradictions, mix, sit, truth


def _tell(seed: int, run: Judged) -> None:
    chosen = mix(seed)
    print(f"seed {seed}: {json.dumps(dataclasses.asdict(chosen), indent=1)}")
    print(f"truth: {truth(run)}; missing {sorted(run.missing)}, surplus {run.surplus}")
    for finding in run.document["findings"]:
        print(f"  {finding['verdict']:8} {finding['check']}: {finding['summary']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mixes", type=int, default=300)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    options = parser.parse_args()
    seeds = range(options.first, options.first + options.mixes)
    runs = anyio.run(sit, seeds, backend_options={"use_uvloop": True})
    cells: Counter[tuple[str, str]] = Counter()
    wrong = 0
    for seed, run in runs:
        cells[truth(run), run.consistent.value] += 1
        found = list(contradictions(run))
        wrong += bool(found)
        if found or options.mixes == 1:
            _tell(seed, run)
            print("\n".join(f"  CONTRADICTION: {text}" for text in found))
    print(confusion(cells))
    print(f"{len(runs)} mixes, {wrong} contradictions")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
