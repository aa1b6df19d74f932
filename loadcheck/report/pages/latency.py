"""Response time over the load, by the instant at which copies fell due, and by percentile.

The percentile axis is that of HdrHistogram's plots: each further nine takes equal space.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from loadcheck.measure.histogram import SIGNIFICANT_DIGITS, Histogram, layout
from loadcheck.measure.intervals import DIGITS, Matrix
from loadcheck.report import words
from loadcheck.report.pages import Axis, Chart, Number, Scale, Series, Shape, Table, Unit
from loadcheck.report.pages.time_axis import Seconds, limit_marks, stage_marks, time_axis
from loadcheck.result import Document
from loadcheck.result import store as stored

_PER_DECADE = 24
_COLUMN = math.log(1.1)
"""Width of a histogram's column, on a logarithmic axis."""
_ROWS = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99, 99.999)


_LOOKS = {
    "response_time": ("response time", "response", ""),
    "service_time": ("service time", "service", "dash"),
    "failed": ("failed", "failed", "dot"),
    "throttled": ("throttled (429)", "throttled", "long"),
}
"""Label, role and dash of each kind of time."""


def percentile_charts(document: Document) -> list[Chart]:
    """Return a chart for each step that copies run and that has samples.

    The generator's lateness is drawn beside the step whose outcome is the copy's.
    """
    ingest = document["workflow"].get("ingest")
    steps = document.get("steps", {})
    own = [name for name, step in steps.items() if step["role"] in {"per-copy", "workflow"}]
    found = [
        _percentile_chart(document, name, place, alone=len(own) == 1)
        for place, name in enumerate(sorted(own, key=lambda name: name != ingest))
    ]
    return [chart for chart in found if chart is not None]


def histograms(document: Document) -> list[Chart]:
    """Return the chart of the distribution of the ingest step's times; [] without samples."""
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


def _percentile_chart(document: Document, name: str, place: int, *, alone: bool) -> Chart | None:
    step = document["steps"][name]
    curves = [
        (*look, stored.histogram(step[kind], f"steps.{name}.{kind}"))
        for kind, look in _LOOKS.items()
        if step[kind] and step[kind]["count"]
    ]
    late = document.get("generator", {}).get("lateness")
    if place == 0 and late and late["count"]:
        times = stored.histogram(late, "generator.lateness")
        curves.append(("generator lateness", "late", "dashdot", times))
    if not curves:
        return None
    what = "Response time" if step["response_time"] is not None else "Service time"
    series = []
    for label, role, dash, times in curves:
        x, y = curve(times)
        series.append(Series(label=label, role=role, x=x, y=y, dash=dash))
    return Chart(
        name="percentiles" if place == 0 else f"percentiles-{place + 1}",
        title=f"{what} by percentile" if alone else f"{what} of {name} by percentile",
        note="The percentile axis is logarithmic, to show the tail.",
        x=Axis(label="percentile", unit=Unit.PERCENTILE, scale=Scale.PERCENTILE),
        y=time_axis(value for one in series for value in one.y),
        series=series,
        table=Table(
            columns=["percentile", *(label for label, *_ in curves)],
            rows=[
                *(
                    [
                        f"p{percentile:g}",
                        *(words.duration(times.percentile_ms(percentile)) for *_, times in curves),
                    ]
                    for percentile in _ROWS
                ),
                ["max", *(words.duration(times.max_ns / 1e6) for *_, times in curves)],
            ],
        ),
        height=340,
    )


def grid(most: float) -> list[float]:
    """Return values of 1/(1-p) from 1 up to ``most``, evenly spaced on the axis."""
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


_MAX_POINTS = 2400
_MAX_ROWS = 60

GROUP = "time"
TIME = Axis(label="time since the start of the load", unit=Unit.CLOCK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """Percentiles over time.

    Attributes:
        begin, end: Ends of each stretch, in seconds since the load began.
        columns: Percentiles in milliseconds, by name.
        note: Which copies or responses a stretch covers.
    """

    begin: Sequence[float]
    end: Sequence[float]
    columns: Mapping[str, Sequence[Number]]
    note: str


def chart(document: Document, at_most: int = _MAX_POINTS) -> Chart | None:
    """Return the chart of latency over time; None if no copy succeeded."""
    drawn = curves(document, at_most)
    if not any(drawn.columns["max"]):
        return None
    listed = _intervals(document, _MAX_ROWS) or _seconds(document, _MAX_ROWS)
    middle = [(begin + end) / 2 for begin, end in zip(drawn.begin, drawn.end, strict=True)]
    ingest = document["workflow"].get("ingest", "")
    own = _has_due_time(document)
    what = "Response time" if own else "Service time"
    return Chart(
        name="latency",
        title=f"{what} of {ingest}" if ingest else what,
        note=f"{drawn.note}, measured from when "
        f"{'they were due' if own else 'the request was sent'}.",
        x=TIME,
        y=time_axis([*drawn.columns["p50"], *drawn.columns["p99"]]),
        series=[
            Series(
                label="max",
                role="max",
                x=middle,
                y=drawn.columns["max"],
                dash="dot",
                faint=True,
            ),
            Series(label="p99", role="response", x=middle, y=drawn.columns["p99"]),
            Series(label="p50", role="service", x=middle, y=drawn.columns["p50"], dash="dash"),
        ],
        marks=[*stage_marks(document), *limit_marks(document)],
        group=GROUP,
        table=Table(
            columns=["from", "to", *listed.columns],
            rows=[
                [
                    words.clock(begin),
                    words.clock(end),
                    *(words.duration(values[place]) for values in listed.columns.values()),
                ]
                for place, (begin, end) in enumerate(zip(listed.begin, listed.end, strict=True))
            ],
        ),
    )


def curves(document: Document, at_most: int) -> Curves:
    """Return percentiles over time, by interval or, from older files, by second.

    Args:
        document: The result; it has a timeline.
        at_most: Maximum number of points by second, to which neighbours are joined.
    """
    return _intervals(document, 1) or _seconds(document, at_most)


def _has_due_time(document: Document) -> bool:
    step = document.get("steps", {}).get(document["workflow"].get("ingest"))
    return step is None or step["response_time"] is not None


def _intervals(document: Document, at_most: int) -> Curves | None:
    """Return percentiles of the copies that fell due in each interval; None for older files.

    Args:
        document: The result.
        at_most: Maximum number of intervals, to which neighbours are joined; 1 keeps all.
    """
    intervals = document.get("intervals")
    step = (intervals or {}).get("steps", {}).get(document["workflow"].get("ingest"))
    if not intervals or not step or not intervals["from_s"]:
        return None
    kind = "service_time" if step["response_time"] is None else "response_time"
    ingest = document["workflow"]["ingest"]
    counts = stored.intervals(step[kind], f"intervals.steps.{ingest}.{kind}")
    stored.columns({**intervals, kind: step[kind]}, "intervals")
    number = len(intervals["from_s"])
    joined = 1 if at_most == 1 else -(-number // at_most)
    firsts = np.arange(0, number, joined)
    counts = np.add.reduceat(counts, firsts, axis=0)
    begin = intervals["from_s"][::joined]
    return Curves(
        begin=begin,
        end=[*begin[1:], intervals["to_s"][-1]],
        columns={
            "p50": _percentiles(counts, 50),
            "p99": _percentiles(counts, 99),
            "max": _percentiles(counts, 100),
        },
        note="Of the copies due in each interval of the load",
    )


def _percentiles(counts: Matrix, percentile: float) -> list[Number]:
    """Return each row's percentile in milliseconds, by nearest rank; None for an empty row."""
    reached = counts.cumsum(axis=1, dtype=np.int64)
    totals = reached[:, -1]
    ranks = np.maximum(np.ceil(np.round(percentile * totals / 100, 6)), 1)
    places = (reached < ranks[:, None]).sum(axis=1)
    highest = layout(DIGITS).highest_us
    return [
        float(highest[place]) / 1e3 if total else None
        for place, total in zip(places, totals, strict=True)
    ]


def _seconds(document: Document, at_most: int) -> Curves:
    """Return percentiles of the copies that were answered in each second."""
    seconds = Seconds(document, at_most)
    each = (
        "second"
        if seconds.every == 1
        else f"{seconds.every} seconds, the median of their p50 and the worst of the others"
    )
    return Curves(
        begin=seconds.begin,
        end=[begin + seconds.every for begin in seconds.begin],
        columns={
            "p50": seconds.middle("p50_ms"),
            "p99": seconds.worst("p99_ms"),
            "max": seconds.worst("max_ms"),
        },
        note=f"Of the responses received in each {each}",
    )
