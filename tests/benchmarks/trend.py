"""Does ``loadcheck trend`` find changes, and nothing else? ``python -m tests.benchmarks.trend``.

Made-up histories of 20 to 60 runs with six figures that vary together, by 1 to 3 % from run to run
(the sixth by two and a half times that). Without a change: noise; noise with outliers; noise whose
variation becomes three times as large at some run; a drift by 2 % in all, less than the tolerance.
With one: steps of 5, 10 and 20 % whose third run is the newest; drifts of 10 and 20 %.

What must hold: of the histories without a change at most 5 % show one in any figure (the share of
each kind is told: of 1,200 whose variation grows it was 4.8 %, over four seeds); a step of 10 % is
found by its third run in 90 %, at the run where it is or its neighbour.
Last, how long the command takes on 500 results of one step, process start included; what must hold:
3 s.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from loadcheck.compare.changes import FigureChanges, FigureHistory, find_changes
from tests.benchmarks import synthetic
from tests.benchmarks.harness import report

FIGURES = 6
STILL = ("noise", "outliers", "variance", "small drift")
TOLERANCE = 0.03
_BEGIN = datetime(2026, 1, 1, 3, tzinfo=UTC)


def history(
    kind: str, random: np.random.Generator, *, size: float = 0.0, behind: int = 3
) -> tuple[dict[str, FigureHistory], int]:
    """Return a made-up history, and the first run behind its step.

    Args:
        kind: One of :data:`STILL`, "step" or "drift".
        random: Source of chance.
        size: Of the step or drift, as a share.
        behind: Runs behind the step.
    """
    runs = int(random.integers(20, 60))
    first, widens = runs - behind, int(random.integers(5, runs - 5))
    deviation, together = random.uniform(0.01, 0.03), random.standard_normal(runs)
    slope = {"drift": size, "small drift": 0.02}.get(kind, 0.0)
    rows = []
    for place in range(FIGURES):
        noise = 0.7 * together + 0.714 * random.standard_normal(runs)
        row: npt.NDArray[np.float64] = deviation * (1 + 0.3 * place) * noise
        if kind == "variance":
            row[widens:] *= 3
        row += np.linspace(0, np.log1p(slope), runs)
        rows.append(row)
    if kind == "outliers":
        for at in random.choice(runs - 1, max(1, runs // 15), replace=False):
            for row in rows:
                row[at] += random.uniform(0.3, 1)
    for row in rows if kind == "step" else ():
        row[first:] += np.log1p(size)
    found = {
        f"p{place}": FigureHistory(values=20 * np.exp(row), logarithmic=True, floor=0.1)
        for place, row in enumerate(rows)
    }
    return found, first


def false_alarms(number: int, seed: int, kinds: Sequence[str] = STILL) -> dict[str, float]:
    """Return in which share of histories without a change one is shown, by kind."""
    random = np.random.default_rng(seed)
    alarms = dict.fromkeys(kinds, 0)
    for turn in range(number):
        kind = kinds[turn % len(kinds)]
        found = find_changes(history(kind, random)[0], TOLERANCE)
        alarms[kind] += any(one.points for one in found.values())
    return {kind: count * len(kinds) / number for kind, count in alarms.items()}


def steps_found(number: int, seed: int, size: float, behind: int = 3) -> tuple[float, float]:
    """Return in which share of histories a step is found, and at its run or a neighbour."""
    random = np.random.default_rng(seed)
    found = near = 0
    for _ in range(number):
        series, first = history("step", random, size=size, behind=behind)
        points = find_changes(series, TOLERANCE)["p0"].points
        found += bool(points)
        near += any(abs(point.index - first) <= 1 for point in points)
    return found / number, near / number


def drifts_told(number: int, seed: int, size: float) -> float:
    """Return in which share of histories a drift is told, and as one."""
    random = np.random.default_rng(seed)
    told = 0
    for _ in range(number):
        changes: FigureChanges = find_changes(history("drift", random, size=size)[0], TOLERANCE)[
            "p0"
        ]
        told += [point.kind for point in changes.points] == ["drift"]
    return told / number


def save_runs(
    folder: Path, levels: Sequence[float], document: dict[str, Any] | None = None
) -> list[Path]:
    """Save a run a day whose times are those of a made-up one by a factor each.

    Args:
        folder: Where; it is made.
        levels: The factors.
        document: The run; made up if there is none.
    """
    document = document or synthetic.result(seconds=6, copies=3000, seed=1)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    step = document["steps"]["uploadEvents"]
    for day, level in enumerate(levels):
        times = {
            kind: {k: v * level if k.endswith("_ms") and v else v for k, v in step[kind].items()}
            for kind in ("response_time", "service_time")
        }
        started = (_BEGIN + timedelta(days=day)).isoformat(timespec="milliseconds")
        run = {"id": f"run{day:09}", "started_at": started.replace("+00:00", "Z")}
        saved = {
            **document,
            "verdict": "pass",
            "run": {**document["run"], **run},
            "labels": {"commit": f"{day:08x}", "env": "staging"},
            "steps": {**document["steps"], "uploadEvents": {**step, **times}},
        }
        paths.append(folder / f"nightly-{day:03}.json")
        paths[-1].write_bytes(orjson.dumps(saved))
    return paths


def _command_s(number: int) -> float:
    random = np.random.default_rng(0)
    levels = np.exp(0.02 * random.standard_normal(number))
    levels[number // 2 :] *= 1.1
    with tempfile.TemporaryDirectory() as name:
        save_runs(Path(name), levels.tolist())
        begin = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "loadcheck", "trend", name],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return time.perf_counter() - begin


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--histories", type=int, default=300, help="made-up ones of either kind")
    options = parser.parse_args()
    number = options.histories
    alarms = false_alarms(number, seed=1)
    figures: dict[str, Any] = {f"false alarms: {kind}": share for kind, share in alarms.items()}
    figures["false alarms"] = sum(alarms.values()) / len(alarms)
    for size in (0.05, 0.1, 0.2):
        found, near = steps_found(number, seed=2, size=size)
        figures[f"step {size:.0%}: found by its third run"] = found
        figures[f"step {size:.0%}: within one run"] = near
    figures["step 5%: found by its tenth run"], _ = steps_found(number, 3, 0.05, behind=10)
    for size in (0.1, 0.2):
        figures[f"drift {size:.0%}: told"] = drifts_told(number // 3, seed=4, size=size)
    figures["500 results, s"] = _command_s(500)
    rows = [("figure", "value"), *((name, f"{value:.3f}") for name, value in figures.items())]
    report(figures, rows, as_json=options.json)
    good = (
        figures["false alarms"] <= 0.05
        and figures["step 10%: within one run"] >= 0.9
        and figures["500 results, s"] <= 3
    )
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
