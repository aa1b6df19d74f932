"""The headline latency as HdrHistogram's tools print it, for its plotter and others.

The layout is that of ``AbstractHistogram.outputPercentileDistribution``; values are milliseconds.

The histograms of a result by name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from hdrh.histogram import HdrHistogram

from loadcheck.result import store as stored

_TIMES = ("response_time", "service_time", "failed", "throttled")

Document = Mapping[str, Any]


def histograms(document: Document) -> dict[str, Mapping[str, Any]]:
    """Return the histograms that hold samples, ``uploadEvents.response_time`` and the like.

    The headline comes first: the response time of the step whose outcome is a copy's, or its
    service time if it has no due time of its own.
    """
    steps = document.get("steps", {})
    ingest = document["workflow"].get("ingest")
    ordered = sorted(steps, key=lambda name: name != ingest)
    found = {f"{name}.{kind}": steps[name][kind] for name in ordered for kind in _TIMES}
    if "generator" in document:
        found["lateness"] = document["generator"]["lateness"]
    return {name: times for name, times in found.items() if times and times["count"]}


_PER_MS = 1000
_TICKS_PER_HALF_DISTANCE = 5
_ALL = 100.0


def text(document: Mapping[str, Any]) -> str:
    """Return the distribution of the ingest step's response time; its footer alone if empty."""
    name, times = next(iter(histograms(document).items()), ("", None))
    histogram = HdrHistogram(1, 3_600_000_000, 3)
    if times is not None:
        # read by the checked way first: what is broken is told
        encoded = stored.histogram(times, name).encode()
        histogram = HdrHistogram.decode(encoded.encode("ascii"))
    lines = [f"{'Value':>12} {'Percentile':>14} {'TotalCount':>10} {'1/(1-Percentile)':>14}", ""]
    total = histogram.get_total_count()
    # the iterator has nowhere to go in an empty histogram
    steps = histogram.get_percentile_iterator(_TICKS_PER_HALF_DISTANCE) if total else ()
    for step in steps:
        level = step.percentile_level_iterated_to
        line = (
            f"{step.value_iterated_to / _PER_MS:12.3f} {level / _ALL:2.12f} "
            f"{step.total_count_to_this_value:10d}"
        )
        lines.append(line if level >= _ALL else f"{line} {1 / (1 - level / _ALL):14.2f}")
    mean = histogram.get_mean_value() / _PER_MS if total else 0.0
    deviation = histogram.get_stddev() / _PER_MS if total else 0.0
    highest = histogram.get_max_value() / _PER_MS if total else 0.0
    buckets, sub_buckets = histogram.bucket_count, histogram.sub_bucket_count
    lines += [
        f"#[Mean    = {_finite(mean):12.3f}, StdDeviation   = {_finite(deviation):12.3f}]",
        f"#[Max     = {highest:12.3f}, Total count    = {total:12d}]",
        f"#[Buckets = {buckets:12d}, SubBuckets     = {sub_buckets:12d}]",
    ]
    if times is not None and times["above_range"]:
        lines.append(f"#[Samples above one hour, not in it: {times['above_range']}]")
    return "\n".join(lines) + "\n"


def _finite(value: float) -> float:
    return value if math.isfinite(value) else 0.0
