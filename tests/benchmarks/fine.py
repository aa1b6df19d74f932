"""Short runs against a service with which nothing is wrong: how often does the verdict say so?

python -m tests.benchmarks.fine --runs 50          on an idle machine: all pass
python -m tests.benchmarks.fine --runs 50 --busy   with every core busy: none fails, none is 1 or 5
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

SMOKE = Path(__file__).parents[2] / "scenarios" / "smoke.toml"
_WRONG = {1, 2, 5, 70}
"""Exit codes that blame the service, or crash."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--busy", action="store_true", help="keep every core busy meanwhile")
    options = parser.parse_args()
    codes: Counter[int] = Counter()
    spinning = [
        multiprocessing.Process(target=_spin, daemon=True)
        for _ in range((os.cpu_count() or 1) if options.busy else 0)
    ]
    for process in spinning:
        process.start()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.runs):
            command = [sys.executable, "-m", "loadcheck", "run", str(SMOKE)]
            output = Path(folder, f"{number}.json")
            ended = subprocess.run(
                [*command, "--output", str(output)], capture_output=True, text=True, check=False
            )
            codes[ended.returncode] += 1
            if ended.returncode:
                print(ended.stdout + ended.stderr)
    for process in spinning:
        process.terminate()
    print(f"{options.runs} runs, exit codes {dict(codes)}")
    wrong = _WRONG & codes.keys() if options.busy else codes.keys() - {0}
    sys.exit(1 if wrong else 0)


def _spin() -> None:
    while True:
        sum(range(10_000))


if __name__ == "__main__":
    main()
