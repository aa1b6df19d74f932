"""Response time by percentile, on the axis of HdrHistogram's plots: every nine takes equal room."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loadcheck.measure import Histogram
from loadcheck.report import words
from loadcheck.report.page import Axis, Chart, Scale, Series, Table, Unit
from loadcheck.result import store as stored

_PER_DECADE = 24
_ROWS = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99, 99.999)
_WIDE = 20.0
"""From this ratio of the longest to the shortest on, times are laid out logarithmically."""

Document = Mapping[str, Any]

_LOOKS = {
    "response_time": ("response time", "response", ""),
    "service_time": ("service time", "service", "dash"),
    "failed": ("failed", "failed", "dot"),
    "throttled": ("refused (429)", "throttled", "long"),
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
        curves.append(("our own lateness", "late", "dashdot", times))
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
        note="How many percent of the requests took no longer. Each nine more takes as much room "
        "as the one before, so that the slowest few are not squeezed into the edge.",
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
