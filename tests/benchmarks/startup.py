"""How long until the command answers? ``python -m tests.benchmarks.startup``.

The median of several cold starts. What must hold: ``loadcheck --help`` in under 0.3 s.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from tests.benchmarks.harness import ROOT, arguments, report

_STARTS = 15
_COMMANDS = {
    "--help": ["--help"],
    "run --help": ["run", "--help"],
    "check": ["check", "scenarios/smoke.toml"],
}


def median_s(command: list[str]) -> float:
    """Return the median time that a command takes, in seconds."""
    times = []
    for _ in range(_STARTS):
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "loadcheck", *command],
            cwd=ROOT,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def main() -> None:
    """Run the benchmark."""
    options = arguments(__doc__ or "")
    figures = {name: median_s(command) for name, command in _COMMANDS.items()}
    rows = [("command", f"median of {_STARTS}")]
    rows += [(f"loadcheck {name}", f"{seconds:.3f} s") for name, seconds in figures.items()]
    report({"median_s": figures}, rows, as_json=options.json)


if __name__ == "__main__":
    main()
