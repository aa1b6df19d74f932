"""Does noise of our own machine decide a verdict? ``python -m tests.benchmarks.steady``.

Short runs of the command against the embedded emulator, which loses nobody and answers well within
the limits. On an idle machine all of them must pass; with ``--busy``, as many processes turning
idly as there are cores, none may fail: what cannot be told is unknown.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks.harness import ROOT, report

_SCENARIO = """\
workflow = "amplitude"
thresholds = ["uploadEvents.p99 < 500ms", "error_rate == 0%", "skipped == 0", "lost == 0"]
[target]
kind = "emulator"
visibility_delay = "100ms"
[inputs]
eventType = "probe"
eventProperties = { scenario = "steady", plan = "free" }
[load]
model = "open"
rate = 200
duration = "1s"
[verify]
every = "100ms"
quiet = "300ms"
deadline = "10s"
"""


@contextlib.contextmanager
def busy(processes: int) -> Iterator[None]:
    """Keep so many cores busy for the length of a block."""
    turning = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)
    ]
    try:
        yield
    finally:
        for process in turning:
            process.kill()
            process.wait()


def verdicts(runs: int) -> tuple[Counter[int], list[dict[str, Any]]]:
    """Return how often each exit code came, and what was said by runs that did not pass."""
    codes: Counter[int] = Counter()
    told = []
    with tempfile.TemporaryDirectory() as folder:
        scenario, result = Path(folder, "steady.toml"), Path(folder, "result.json")
        scenario.write_text(_SCENARIO)
        for _ in range(runs):
            command = [sys.executable, "-m", "loadcheck", "run", str(scenario), "--quiet"]
            ended = subprocess.run(
                [*command, "--force", "--output", str(result)],
                cwd=ROOT,
                check=False,
                capture_output=True,
                text=True,
            )
            codes[ended.returncode] += 1
            if ended.returncode:
                document = json.loads(result.read_bytes())
                told.append(
                    {
                        "code": ended.returncode,
                        "said": ended.stdout.strip(),
                        "findings": [
                            finding["summary"]
                            for finding in document["findings"]
                            if finding["verdict"] != "pass"
                        ],
                    }
                )
    return codes, told


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--busy", action="store_true", help="keep every core busy meanwhile")
    options = parser.parse_args()
    cores = len(os.sched_getaffinity(0)) if options.busy else 0
    with busy(cores):
        codes, told = verdicts(options.runs)
    figures = {"runs": options.runs, "busy_cores": cores, "codes": dict(codes), "told": told}
    failed = codes[1] + codes[5]
    other = options.runs - codes[0] - codes[3] - failed
    counted = (options.runs, codes[0], codes[3], failed, other)
    rows = [("runs", "pass", "unknown", "fail", "other"), tuple(map(str, counted))]
    report(figures, rows, as_json=options.json)
    if not options.json:
        for one in told:
            print(one["code"], one["said"], *one["findings"], sep="\n  ")


if __name__ == "__main__":
    main()
