"""Response time by percentile, on the axis of HdrHistogram's plots: every nine takes equal room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from loadcheck.measure import Histogram
from loadcheck.report import words
from loadcheck.report.html.model import Axis, Chart, Scale, Series, Table, Unit

_PER_DECADE = 24
_ROWS = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99, 99.999)
_WIDE = 20.0
"""From this ratio of the longest to the shortest on, times are laid out logarithmically."""

Document = Mapping[str, Any]

_DASHES = {"response": "", "service": "dash", "failed": "dot", "late": "dashdot"}


def chart(document: Document) -> Chart | None:
    """Return the chart of a result's latencies; None without samples."""
    named = [
        (label, role, histogram)
        for label, role, histogram in _histograms(document)
        if histogram["count"]
    ]
    if not named:
        return None
    return chart_of(
        [
            (label, role, _DASHES.get(role, "dash"), Histogram.decode(histogram["hdr"]))
            for label, role, histogram in named
        ],
        note="How many percent of the requests took no longer. Each nine more takes as much room "
        "as the one before, so that the slowest few are not squeezed into the edge.",
    )


def chart_of(curves: Sequence[tuple[str, str, str, Histogram]], *, note: str) -> Chart:
    """Return a chart of histograms.

    Args:
        curves: Label, role, dash and histogram of each.
        note: How to read it.
    """
    series, longest, shortest = [], 0.0, float("inf")
    for label, role, dash, times in curves:
        x, y = curve(times)
        longest, shortest = max(longest, y[-1]), min(shortest, y[0])
        series.append(Series(label=label, role=role, x=x, y=y, dash=dash))
    wide = longest > _WIDE * max(shortest, 1e-3)
    return Chart(
        name="percentiles",
        title="Response time by percentile",
        note=note,
        x=Axis(label="percentile", unit=Unit.PERCENTILE, scale=Scale.PERCENTILE),
        y=Axis(
            label="time",
            unit=Unit.MILLISECONDS,
            scale=Scale.LOG if wide else Scale.LINEAR,
            switch=True,
        ),
        series=series,
        table=Table(
            columns=["percentile", *(label for label, *_ in curves)],
            rows=[
                *(
                    [f"p{percentile:g}", *(_at(percentile, times) for *_, times in curves)]
                    for percentile in _ROWS
                ),
                ["longest", *(words.duration(times.max_ns / 1e6) for *_, times in curves)],
            ],
        ),
        height=340,
    )


def grid(most: float) -> list[float]:
    """Return values of 1/(1-p) from 1 up to one, at even distances on the axis."""
    x = [1.0]
    while x[-1] < most:
        x.append(min(10 ** (len(x) / _PER_DECADE), float(most)))
    return x


def curve(times: Histogram) -> tuple[list[float], list[float]]:
    """Return a histogram's curve: 1/(1-p) and milliseconds; it ends with the last sample."""
    x = grid(times.count)
    y = [times.percentile_ms(100 * (1 - 1 / value)) or 0.0 for value in x]
    # the last rank is the maximum, which no finite 1/(1-p) reaches
    y[-1] = times.percentile_ms(100) or 0.0
    return x, y


def _at(percentile: float, times: Histogram) -> str:
    return words.duration(times.percentile_ms(percentile))


def _histograms(document: Document) -> list[tuple[str, str, dict[str, Any]]]:
    """Return label, role and histogram of what a copy's user feels, and of our own lateness."""
    steps = document.get("steps", {})
    own = [(name, step) for name, step in steps.items() if step["role"] == "per-copy"]
    found = []
    for name, step in own:
        prefix = f"{name} " if len(own) > 1 else ""
        if step["response_time"] is not None:
            found.append((f"{prefix}response time", "response", step["response_time"]))
        found.append((f"{prefix}service time", "service", step["service_time"]))
        found.append((f"{prefix}failed", "failed", step["failed"]))
        found.append((f"{prefix}refused (429)", "throttled", step["throttled"]))
    if "generator" in document:
        found.append(("our own lateness", "late", document["generator"]["lateness"]))
    return found
