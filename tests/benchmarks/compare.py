"""Is ``loadcheck compare`` calibrated? ``python -m tests.benchmarks.compare``.

Pairs of runs of 30 s at 1,000 copies/s. Runs that are equal but for chance must be called different
at most 5 % of the time; a candidate whose p50 is 10 % higher must be called worse at p50 at least
95 % of the time. "different" is about the verdict, with the tolerance of 5 % that users have;
"off" is stricter: how often an interval of one figure, p50 or p99, does not hold the truth.

Made-up runs have noise that is correlated from second to second. With ``--real N`` there are N real
pairs of either kind beside them, against the emulator whose answers take 20 ms in the median, or
22 ms; ``--seconds`` is their length. With it all must hold, too, as far as N tells, on a machine
that does nothing else: on a busy one runs are not equal, and nobody is sure of anything.

Last, how long the command takes on two files of 30 minutes and 1,000,000 copies, process start
included; what must hold: below a second.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from loadcheck.compare import Stored, compare
from tests.benchmarks import synthetic
from tests.benchmarks.harness import ROOT, loadcheck, report

_SHIFT = 1.1
_SCENARIO = """\
name = "calibration"
workflow = "amplitude"
[target]
kind = "emulator"
faults = {{ slow = {{ delay = {{ median = "{p50_ms}ms", p99 = "{p99_ms}ms" }} }} }}
[inputs]
eventType = "probe"
eventProperties = {{}}
[load]
model = "open"
rate = 1000
duration = "{seconds}s"
"""
_SERVICES: dict[str, tuple[int, synthetic.Service]] = {
    "independent": (1, synthetic.Service(wander=0)),
    "correlated": (1, synthetic.Service()),
    "rough": (1, synthetic.Service(wander=0.05, memory=0.7)),
    "3 runs a side": (3, synthetic.Service(run_to_run=0.02)),
    "5 runs a side": (5, synthetic.Service(run_to_run=0.02)),
}
"""How many runs a side has, and of what service. Nobody can find 10 % with confidence beyond a
tolerance of 5 % in the rough one, whose p50 alone differs by 2 % from run to run."""

Runs = Sequence[dict[str, Any]]


class Score:
    """What became of pairs whose p50 differs by a factor."""

    def __init__(self, truth: float) -> None:
        self._truth = truth
        self.pairs = self.different = self.worse = 0
        self.off = {"p50": 0, "p99": 0}
        self.called: Counter[str] = Counter()

    def add(self, base: Runs, candidate: Runs) -> None:
        """Compare a pair."""
        sides = [
            [Stored(file=f"{name}{i}", document=run) for i, run in enumerate(side)]
            for name, side in (("base", base), ("candidate", candidate))
        ]
        document = compare(*sides)
        figures = {figure["key"]: figure for figure in document["figures"]}
        self.pairs += 1
        self.different += document["verdict"] in ("worse", "better")
        self.called.update(
            key
            for key, figure in figures.items()
            if figure["about"] == "target" and figure["word"] in ("worse", "better")
        )
        self.worse += figures["uploadEvents.response_time.p50"]["word"] == "worse"
        for name in self.off:
            relative = figures[f"uploadEvents.response_time.{name}"]["relative"]
            inside = relative["low"] <= self._truth - 1 <= relative["high"]
            self.off[name] += not inside

    def shares(self) -> dict[str, Any]:
        """Return the counts as shares."""
        return {
            "pairs": self.pairs,
            "different": self.different / self.pairs,
            "p50_worse": self.worse / self.pairs,
            "p50_off": self.off["p50"] / self.pairs,
            "p99_off": self.off["p99"] / self.pairs,
            "called": dict(self.called),
        }


def scored(
    pairs: int, side: Callable[[int, float], Runs], *, truths: Sequence[float] = (1, _SHIFT)
) -> dict[str, Any]:
    """Return the shares of equal and of shifted pairs; ``side`` makes the runs of one."""
    found = {}
    for truth in truths:
        score = Score(truth)
        for pair in range(pairs):
            score.add(side(2 * pair, 1), side(2 * pair + 1, truth))
        found["equal" if truth == 1 else "shifted"] = score.shares()
    return found


def made_up(runs: int, service: synthetic.Service) -> Callable[[int, float], Runs]:
    """Return what makes the made-up runs of a side."""

    def side(number: int, factor: float) -> Runs:
        shifted = replace(service, p50_ms=service.p50_ms * factor)
        return [
            synthetic.result(service=shifted, seed=100 * number + run + int(1e6 * factor))
            for run in range(runs)
        ]

    return side


def real(seconds: float) -> Callable[[int, float], Runs]:
    """Return what makes the only run of a side against the emulator."""

    def side(number: int, factor: float) -> Runs:
        del number
        text = _SCENARIO.format(p50_ms=20 * factor, p99_ms=60 * factor, seconds=seconds)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "calibration.toml")
            path.write_text(text)
            return [loadcheck(str(path))]

    return side


def seconds_of_command() -> float:
    """Return how long the command takes on two files of 30 minutes, the best of five."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, name) for name in ("base.json", "candidate.json")]
        for seed, path in enumerate(paths):
            document = synthetic.result(
                seconds=1800, copies=1_000_000, seed=seed, queries_per_s=2.5
            )
            path.write_bytes(orjson.dumps(document))
        took_s = []
        for _ in range(5):
            began_s = time.perf_counter()
            command = [sys.executable, "-m", "loadcheck", "compare", *map(str, paths)]
            done = subprocess.run(command, cwd=ROOT, check=False, stdout=subprocess.DEVNULL)
            if done.returncode not in (0, 3, 4):
                raise SystemExit("the command could not compare")
            took_s.append(time.perf_counter() - began_s)
    return min(took_s)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--pairs", type=int, default=300, help="made-up pairs of either kind")
    parser.add_argument("--real", type=int, default=0, help="real pairs of either kind")
    parser.add_argument("--seconds", type=float, default=30, help="length of a real run")
    options = parser.parse_args()
    figures: dict[str, Any] = {}
    for name, (runs, service) in _SERVICES.items():
        pairs = options.pairs if runs == 1 else max(1, options.pairs // runs)
        figures[name] = scored(pairs, made_up(runs, service))
    if options.real:
        figures["emulator"] = scored(options.real, real(options.seconds))
    rows: list[tuple[str, ...]] = [
        ("service", "pairs", "p50", "called different", "p50 worse", "p50 off", "p99 off")
    ]
    for name, kinds in figures.items():
        for kind, shares in kinds.items():
            keys = ("different", "p50_worse", "p50_off", "p99_off")
            percent = [f"{100 * shares[key]:.1f} %" for key in keys]
            rows.append(
                (name, str(shares["pairs"]), "equal" if kind == "equal" else "+10 %", *percent)
            )
    took_s = seconds_of_command()
    rows.append(("the command", "30 min", "", f"{took_s:.2f} s", "", "", ""))
    report({"calibration": figures, "command_s": took_s}, rows, as_json=options.json)


if __name__ == "__main__":
    main()
