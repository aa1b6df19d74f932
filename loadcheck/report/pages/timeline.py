"""Charts over time: rates, latencies and outcomes by second, and a heat map of the times.

Two modes, a second hump and a slow stretch look alike in a p99; the map distinguishes them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from loadcheck.measure.histogram import SIGNIFICANT_DIGITS, BucketLayout, layout
from loadcheck.measure.intervals import DIGITS
from loadcheck.report import words
from loadcheck.report.pages import (
    Axis,
    Chart,
    Heat,
    Mark,
    Number,
    Scale,
    Series,
    Shape,
    Table,
    Unit,
    latency,
)
from loadcheck.report.pages.latency import GROUP, TIME
from loadcheck.report.pages.time_axis import Seconds, limit_marks, stage_marks
from loadcheck.result import Document
from loadcheck.result import store as stored

PER_DECADE = 10
_LOWEST_US = 10
_DECADES = 8
ROWS = PER_DECADE * _DECADES
"""Rows of the map, from 10 microseconds, and below, to 1,000 seconds, and above."""
_MOST_COLUMNS = 120
_MOST_TABLE_ROWS = 60
_EDGES_MS = [_LOWEST_US / 1e3 * 10 ** (row / PER_DECADE) for row in range(ROWS + 1)]

Cells = npt.NDArray[np.int64]


def rows_of(buckets: BucketLayout) -> Cells:
    """Return for each bucket of a histogram the row that it belongs to."""
    ends_us = np.maximum(buckets.highest_us, _LOWEST_US)
    rows: Cells = np.floor(PER_DECADE * np.log10(ends_us / _LOWEST_US)).astype(np.int64)
    return np.clip(rows, 0, ROWS - 1)


_ROWS_OF_TIMES = rows_of(layout(SIGNIFICANT_DIGITS))


def rows_of_times(counts: npt.NDArray[Any]) -> list[int]:
    """Return bucket counts of the measured times as samples in each row."""
    summed = np.bincount(_ROWS_OF_TIMES, weights=counts, minlength=ROWS)
    return [int(number) for number in summed]


def chart(document: Document) -> Chart | None:
    """Return the map of a result's times by interval; None for older files, or without any."""
    intervals, ingest = document.get("intervals"), document["workflow"].get("ingest")
    step = (intervals or {}).get("steps", {}).get(ingest)
    if not intervals or not step or not intervals["from_s"]:
        return None
    kind = "service_time" if step["response_time"] is None else "response_time"
    counts = stored.intervals(step[kind], f"intervals.steps.{ingest}.{kind}")
    rows = rows_of(layout(DIGITS))
    cells = np.zeros((len(counts), ROWS), dtype=np.int64)
    for place, column in enumerate(counts):
        cells[place] = np.bincount(rows, weights=column, minlength=ROWS)
    edges = [*intervals["from_s"], intervals["to_s"][-1]]
    what = kind.replace("_", " ")
    return map_of(document, edges, cells, f"{what} of {ingest}")


def map_of(document: Document, edges: Sequence[float], cells: Cells, what: str) -> Chart | None:
    """Return a map; None if it has no sample.

    Args:
        document: The result, for its stages and limits.
        edges: Seconds since the load began: one more than there are columns.
        cells: Samples, a row of the array for each column of the map.
        what: What was timed.
    """
    filled = np.flatnonzero(cells.sum(axis=0)) if len(cells) else np.zeros(0, dtype=np.int64)
    if not filled.size:
        return None
    cells, edges = _merged(cells, edges, _MOST_COLUMNS)
    low, high = int(filled[0]), int(filled[-1]) + 1
    cells = cells[:, low:high]
    return Chart(
        name="heat",
        title=f"Heat map of the {what}",
        note="Requests by when they fell due and by how long they took; darker is more. Two bands "
        "are two kinds of answers, which no percentile shows.",
        x=TIME,
        y=Axis(label="time", unit=Unit.MILLISECONDS, scale=Scale.LOG),
        series=[
            Series(
                label="most frequent",
                role="response",
                x=[(a + b) / 2 for a, b in pairwise(edges)],
                y=[_middle(low + int(row.argmax())) if row.any() else None for row in cells],
                dash="dot",
                faint=True,
                quiet=True,
            )
        ],
        marks=[*stage_marks(document), *limit_marks(document)],
        group=GROUP,
        heat=Heat(x=edges, y=_EDGES_MS[low : high + 1], cells=cells.tolist()),
        table=_times_table(cells, edges, low),
    )


def _middle(row: int) -> float:
    return math.sqrt(_EDGES_MS[row] * _EDGES_MS[row + 1])


def _merged(cells: Cells, edges: Sequence[float], most: int) -> tuple[Cells, list[float]]:
    """Return at most ``most`` columns, by adding up neighbours."""
    every = max(1, -(-len(cells) // most))
    firsts = np.arange(0, len(cells), every)
    return np.add.reduceat(cells, firsts, axis=0), [*edges[:-1:every], edges[-1]]


def _times_table(cells: Cells, edges: Sequence[float], low: int) -> Table:
    cells, edges = _merged(cells, edges, _MOST_TABLE_ROWS)
    return Table(
        columns=["from", "to", "requests", "most frequent", "min", "max"],
        rows=[
            [words.clock(begin), words.clock(end), words.count(int(row.sum())), *_ranges(row, low)]
            for begin, end, row in zip(edges, edges[1:], cells, strict=False)
        ],
        note="Times to the width of a row of the map.",
    )


def _ranges(row: Cells, low: int) -> list[str]:
    filled = np.flatnonzero(row)
    if not filled.size:
        return ["–", "–", "–"]
    places = [low + int(row.argmax()), low + int(filled[0]), low + int(filled[-1])]
    return [_range(place) for place in places]


def _range(row: int) -> str:
    return f"{words.duration(_EDGES_MS[row])} to {words.duration(_EDGES_MS[row + 1])}"


_MAX_POINTS = 2400
_MAX_ROWS = 60


def charts(document: Document, at_most: int = _MAX_POINTS) -> list[Chart]:
    """Return the charts over time; [] if the timeline is empty."""
    timeline = document.get("timeline")
    if not timeline or not timeline["second"]:
        return []
    seconds, table = Seconds(document, at_most), Seconds(document, _MAX_ROWS)
    stages = stage_marks(document)
    found = [
        _rates(document, seconds, table, stages),
        latency.chart(document, at_most),
        chart(document),
        _outcomes(document, seconds, table, stages),
        _others(document, seconds, table, stages),
        _in_flight(seconds, table, stages),
        _lateness(seconds, table, stages),
    ]
    return [chart for chart in found if chart is not None]


def _rates(document: Document, seconds: Seconds, table: Seconds, stages: list[Mark]) -> Chart:
    opened = document["scenario"].get("load", {}).get("model") != "closed"
    asked = Series(
        label="target",
        role="asked",
        x=seconds.begin,
        y=seconds.rate("due"),
        shape=Shape.STEP,
        dash="dash",
    )
    reached = Series(
        label="achieved",
        role="reached",
        x=seconds.begin,
        y=seconds.rate("started"),
        shape=Shape.STEP,
    )
    return Chart(
        name="rate",
        title="Target and achieved rate" if opened else "Achieved rate",
        note="Copies of the workflow due and started per second."
        if opened
        else "Copies of the workflow started per second.",
        x=TIME,
        y=Axis(label="copies per second", unit=Unit.RATE),
        series=[reached, asked] if opened else [reached],
        marks=stages,
        group=GROUP,
        height=260,
        table=_table(
            table, {"target": table.rate("due"), "achieved": table.rate("started")}, "rate"
        ),
    )


def _outcomes(document: Document, seconds: Seconds, table: Seconds, stages: list[Mark]) -> Chart:
    names = _present(document, ("acknowledged", "rejected", "indeterminate", "skipped"))
    return Chart(
        name="outcomes",
        title="Outcomes",
        note="Outcomes of the copies in each second, stacked."
        if len(names) > 1
        else "Outcomes of the copies in each second: all were acknowledged.",
        x=TIME,
        y=Axis(label="copies per second", unit=Unit.RATE),
        series=[
            Series(label=name, role=name, x=seconds.begin, y=seconds.rate(name), shape=Shape.STACK)
            for name in names
        ],
        marks=stages,
        group=GROUP,
        height=240,
        table=_table(table, {name: table.rate(name) for name in names}, "rate"),
    )


def _others(
    document: Document, seconds: Seconds, table: Seconds, stages: list[Mark]
) -> Chart | None:
    """Return the chart of failures and retries, on its own scale: beside the rest it is flat."""
    names = [
        name
        for name in ("rejected", "indeterminate", "skipped", "retries")
        if any(document["timeline"].get(name, ()))
    ]
    if not names:
        return None
    dashes = {"rejected": "", "indeterminate": "dash", "skipped": "dot", "retries": "dashdot"}
    return Chart(
        name="others",
        title="Failures and retries",
        note="Retries are attempts after the first; their copies may still be acknowledged.",
        x=TIME,
        y=Axis(label="per second", unit=Unit.RATE),
        series=[
            Series(
                label=name,
                role=name,
                x=seconds.begin,
                y=seconds.rate(name),
                shape=Shape.STEP,
                dash=dashes[name],
            )
            for name in names
        ],
        marks=stages,
        group=GROUP,
        height=220,
        table=_table(table, {name: table.rate(name) for name in names}, "rate"),
    )


def _in_flight(seconds: Seconds, table: Seconds, stages: list[Mark]) -> Chart:
    return Chart(
        name="flight",
        title="Copies in flight",
        note="Started but without an outcome at the end of each second: these pile up when the "
        "target falls behind.",
        x=TIME,
        y=Axis(label="copies", unit=Unit.COUNT),
        series=[
            Series(
                label="in flight",
                role="reached",
                x=seconds.begin,
                y=seconds.worst("in_flight"),
                shape=Shape.STEP,
            )
        ],
        marks=stages,
        group=GROUP,
        height=200,
        table=_table(table, {"in flight": table.worst("in_flight")}, "count"),
    )


def _lateness(seconds: Seconds, table: Seconds, stages: list[Mark]) -> Chart | None:
    middle = [start + seconds.every / 2 for start in seconds.begin]
    late = seconds.worst("lateness_p99_ms")
    if not any(late):
        return None
    return Chart(
        name="lateness",
        title="Generator lateness",
        note="Scheduling delay in the load generator, from when a copy was due until its request "
        "was sent, 99th percentile. Response times include it.",
        x=TIME,
        y=Axis(label="time", unit=Unit.MILLISECONDS, switch=True),
        series=[Series(label="lateness p99", role="late", x=middle, y=late, dash="dashdot")],
        marks=stages,
        group=GROUP,
        height=200,
        table=_table(table, {"lateness p99": table.worst("lateness_p99_ms")}, "duration"),
    )


def _present(document: Document, names: Sequence[str]) -> list[str]:
    """Return the outcomes that occurred; the first one in any case."""
    return [name for name in names if name == names[0] or document["copies"].get(name)]


def _table(seconds: Seconds, columns: Mapping[str, Sequence[Number]], kind: str) -> Table:
    write = {"rate": words.rate, "duration": words.duration, "count": words.count}[kind]
    rest = (
        ""
        if seconds.every == 1
        else f"Each row stands for {seconds.every} seconds. Every second by itself: "
        "loadcheck export RESULT --format csv."
    )
    return Table(
        columns=["from", *columns],
        rows=[
            [words.clock(start), *(write(values[place]) for values in columns.values())]
            for place, start in enumerate(seconds.begin)
        ],
        note=rest,
    )
