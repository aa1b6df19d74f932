"""What a comparison embeds of each run, so that a page can lay one over the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from loadcheck.compare.bootstrap import percentiles
from loadcheck.compare.intervals import Intervals
from loadcheck.errors import Problem, ResultFileError
from loadcheck.measure import Histogram
from loadcheck.measure.intervals import DIGITS
from loadcheck.measure.layout import layout

PERCENTILES = (
    0, 10, 20, 30, 40, 50, 60, 70, 75, 80, 85, 90, 92.5, 95, 97, 98, 99, 99.5, 99.7, 99.9, 99.95,
    99.99, 99.995, 99.999, 100,
)  # fmt: skip
"""Where the percentile curve has its points."""

Document = Mapping[str, Any]


def curves(document: Document, intervals: Intervals) -> dict[str, Any]:
    """Return a run's curves: by percentile, and over the time at which copies were due.

    Args:
        document: Of a run that is complete.
        intervals: Those of the same document.

    Raises:
        ResultFileError: A histogram in it is broken.
    """
    columns = document.get("intervals")
    over_time: dict[str, Any] = {"from_s": [], "to_s": [], "due": [], "acknowledged": []}
    if columns:
        over_time = {name: columns[name] for name in over_time}
    steps = {}
    for name, step in document["steps"].items():
        time = "service_time" if step["response_time"] is None else "response_time"
        steps[name] = {
            "time": time,
            "percentiles": _by_percentile(step[time], intervals.file, f"steps.{name}.{time}"),
            "intervals": _over_time(intervals, name, time),
        }
    return {"percentiles": list(PERCENTILES), "intervals": over_time, "steps": steps}


def _by_percentile(times: Document, file: str, key: str) -> list[float | None]:
    try:
        histogram = Histogram.decode(times["hdr"])
    except ValueError as error:
        raise ResultFileError(
            Problem(
                file=file, key=f"{key}.hdr", message=str(error), remedy="was it edited by hand?"
            )
        ) from error
    return histogram.percentiles_ms(PERCENTILES)


def _over_time(intervals: Intervals, step: str, time: str) -> dict[str, Sequence[float | None]]:
    counts = intervals.histograms(time, step)
    if counts is None or not intervals.number:
        return {"p50_ms": [], "p99_ms": []}
    found = percentiles(counts, layout(DIGITS), (50.0, 99.0)) / 1000
    return {
        name: [None if np.isnan(value) else round(float(value), 4) for value in found[:, column]]
        for column, name in enumerate(("p50_ms", "p99_ms"))
    }
