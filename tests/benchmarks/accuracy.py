"""Are the latencies true? ``python -m tests.benchmarks.accuracy``.

A server answers after delays that are known to it alone, and says afterwards what they were. What
must hold: service-time percentiles within 1 % or 0.3 ms of those at 5,000 requests/s;
and with a server that stalls for one second of ten at 1,000/s, response-time percentiles within
2 % of what arithmetic says, since copies go on falling due while nobody answers.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np

from tests.benchmarks.delays import STALL_LASTS_S
from tests.benchmarks.harness import ROOT, arguments, cores, report, send_only

_PERCENTILES = {"p50_ms": 50.0, "p90_ms": 90.0, "p99_ms": 99.0, "p999_ms": 99.9}
_STALL_RATE = 1000


def run(kind: str, rate: int, seconds: float) -> tuple[dict[str, Any], list[int]]:
    """Return the results document of a run and the delays that its target gave."""
    ours, theirs = cores()
    server = subprocess.Popen(
        [*theirs, sys.executable, "-m", "tests.benchmarks.delays", kind, "1"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    port = int(server.stdout.readline())
    load = f'model = "open"\nrate = {rate}\nduration = {seconds}\nmax_in_flight = 4000'
    document = send_only(port, load, ours)
    printed, _ = server.communicate(timeout=30)
    return document, json.loads(printed)


def planted(kind: str, seconds: float) -> dict[str, Any]:
    """Compare service times with the delays that the target gave."""
    document, delays_ns = run(kind, 5000, seconds)
    measured = document["steps"]["uploadEvents"]["service_time"]
    truth = np.percentile(np.array(delays_ns) / 1e6, list(_PERCENTILES.values()), method="higher")
    return _compared(measured, dict(zip(_PERCENTILES, truth.tolist(), strict=True)))


def stalled() -> dict[str, Any]:
    """Compare response times under a stall with what they must be.

    Of ten seconds' copies a tenth falls due in the stalled second, evenly; each waits for the rest
    of it. So the percentile p above 90 is (p - 90) / 10 of the stall.
    """
    document, _ = run("stall", _STALL_RATE, 10)
    measured = document["steps"]["uploadEvents"]["response_time"]
    share = STALL_LASTS_S / 10
    truth = {
        name: 1000 * STALL_LASTS_S * (percentile / 100 - (1 - share)) / share
        for name, percentile in {"p95_ms": 95.0, "p99_ms": 99.0, "p999_ms": 99.9}.items()
    }
    return _compared(measured, truth)


def _compared(measured: dict[str, Any], truth: dict[str, float]) -> dict[str, Any]:
    return {
        name: {"true_ms": value, "measured_ms": measured[name], "off_ms": measured[name] - value}
        for name, value in truth.items()
    }


def main() -> None:
    """Run the benchmark."""
    options = arguments(__doc__ or "", seconds=10)
    kinds = ("fixed", "two-humped", "heavy-tailed")
    figures = {kind: planted(kind, options.seconds) for kind in kinds} | {"stall": stalled()}
    rows = [("delays", "figure", "true", "measured", "off", "off")]
    for kind, compared in figures.items():
        for name, figure in compared.items():
            off, true = figure["off_ms"], figure["true_ms"]
            rows.append(
                (
                    kind,
                    name.removesuffix("_ms"),
                    f"{true:.3f} ms",
                    f"{figure['measured_ms']:.3f} ms",
                    f"{off:+.3f} ms",
                    f"{100 * off / true:+.2f} %",
                )
            )
    report(figures, rows, as_json=options.json)


if __name__ == "__main__":
    main()
