"""Response time by percentile, on the axis of HdrHistogram's plots: every nine takes equal room."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from loadcheck.measure import Histogram
from loadcheck.measure.histogram import SIGNIFICANT_DIGITS, layout
from loadcheck.report import words
from loadcheck.report.page import Axis, Chart, Scale, Series, Shape, Table, Unit
from loadcheck.result import store as stored

_PER_DECADE = 24
_COLUMN = math.log(1.1)
"""Width of a histogram's column, on a logarithmic axis."""
_ROWS = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99, 99.999)
_WIDE = 20.0
"""From this ratio of the longest to the shortest on, times are laid out logarithmically."""

Document = Mapping[str, Any]

_LOOKS = {
    "response_time": ("response time", "response", ""),
    "service_time": ("service time", "service", "dash"),
    "failed": ("failed", "failed", "dot"),
    "throttled": ("throttled (429)", "throttled", "long"),
}
"""Label, role and dash of each kind of time."""


def charts(document: Document) -> list[Chart]:
    """Return a chart for each step that copies run and that has samples.

    Our own lateness is drawn beside the step whose outcome is the copy's.
    """
    ingest = document["workflow"].get("ingest")
    own = [name for name, step in document.get("steps", {}).items() if step["role"] == "per-copy"]
    found = [
        _chart(document, name, place, alone=len(own) == 1)
        for place, name in enumerate(sorted(own, key=lambda name: name != ingest))
    ]
    return [chart for chart in found if chart is not None]


def histograms(document: Document) -> list[Chart]:
    """Return how the times of the step whose outcome is the copy's are distributed."""
    name = document["workflow"].get("ingest")
    step = document.get("steps", {}).get(name)
    if step is None:
        return []
    kind = "service_time" if step["response_time"] is None else "response_time"
    if not step[kind]["count"]:
        return []
    times = stored.histogram(step[kind], f"steps.{name}.{kind}")
    edges, counts = binned(times)
    what = _LOOKS[kind][0]
    return [
        Chart(
            name="histogram",
            title=f"Distribution of the {what} of {name}",
            note="Requests by how long they took; each column is about 10 % wider than the one "
            "before.",
            x=Axis(label=what, unit=Unit.MILLISECONDS, scale=Scale.LOG),
            y=Axis(label="requests", unit=Unit.COUNT, switch=True),
            series=[
                Series(
                    label="requests",
                    role="response",
                    x=edges,
                    y=[*counts, 0],
                    shape=Shape.STACK,
                )
            ],
            height=200,
            table=Table(
                columns=["from", "to", "requests"],
                rows=[
                    [words.duration(low), words.duration(high), words.count(count)]
                    for low, high, count in zip(edges, edges[1:], counts, strict=False)
                    if count
                ],
            ),
        )
    ]


def binned(times: Histogram) -> tuple[list[float], list[int]]:
    """Return the edges of columns in milliseconds, and the samples in each."""
    counts = times.counts()
    filled = np.flatnonzero(counts)
    ends_us = np.maximum(layout(SIGNIFICANT_DIGITS).highest_us[filled], 1)
    first = math.floor(math.log(ends_us[0]) / _COLUMN)
    last = math.floor(math.log(ends_us[-1]) / _COLUMN)
    at = np.clip(np.floor(np.log(ends_us) / _COLUMN).astype(np.int64) - first, 0, last - first)
    summed = np.bincount(at, weights=counts[filled], minlength=last - first + 1)
    edges = [math.exp((first + index) * _COLUMN) / 1e3 for index in range(last - first + 2)]
    return edges, [int(number) for number in summed]


def _chart(document: Document, name: str, place: int, *, alone: bool) -> Chart | None:
    step = document["steps"][name]
    curves = [
        (*look, stored.histogram(step[kind], f"steps.{name}.{kind}"))
        for kind, look in _LOOKS.items()
        if step[kind] and step[kind]["count"]
    ]
    late = document["generator"]["lateness"]
    if place == 0 and late["count"]:
        times = stored.histogram(late, "generator.lateness")
        curves.append(("generator lateness", "late", "dashdot", times))
    if not curves:
        return None
    what = "Response time" if step["response_time"] is not None else "Service time"
    series, longest, shortest = [], 0.0, float("inf")
    for label, role, dash, times in curves:
        x, y = curve(times)
        longest, shortest = max(longest, y[-1]), min(shortest, y[0])
        series.append(Series(label=label, role=role, x=x, y=y, dash=dash))
    wide = longest > _WIDE * max(shortest, 1e-3)
    return Chart(
        name="percentiles" if place == 0 else f"percentiles-{place + 1}",
        title=f"{what} by percentile" if alone else f"{what} of {name} by percentile",
        note="The percentile axis is logarithmic, to show the tail.",
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
