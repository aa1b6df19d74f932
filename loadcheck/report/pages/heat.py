"""Where the times lie over the load: a heat map, which shows what percentiles hide.

Two modes, a second hump, or a stretch in which everything was slow look alike as a p99.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from loadcheck.measure.histogram import SIGNIFICANT_DIGITS, Layout, layout
from loadcheck.measure.intervals import DIGITS
from loadcheck.report import words
from loadcheck.report.pages import Axis, Chart, Heat, Scale, Series, Table, Unit
from loadcheck.report.pages.latency import GROUP, TIME
from loadcheck.report.pages.time_axis import limit_marks, stage_marks
from loadcheck.result import store as stored

PER_DECADE = 10
_LOWEST_US = 10
_DECADES = 8
ROWS = PER_DECADE * _DECADES
"""From 10 microseconds, and below, to 1,000 seconds, and above."""
_MOST_COLUMNS = 120
_MOST_TABLE_ROWS = 60
_EDGES_MS = [_LOWEST_US / 1e3 * 10 ** (row / PER_DECADE) for row in range(ROWS + 1)]

Cells = npt.NDArray[np.int64]
Document = Mapping[str, Any]


def rows_of(buckets: Layout) -> Cells:
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
        table=_table(cells, edges, low),
    )


def _middle(row: int) -> float:
    return math.sqrt(_EDGES_MS[row] * _EDGES_MS[row + 1])


def _merged(cells: Cells, edges: Sequence[float], most: int) -> tuple[Cells, list[float]]:
    """Return no more than so many columns: neighbours are added up."""
    every = max(1, -(-len(cells) // most))
    firsts = np.arange(0, len(cells), every)
    return np.add.reduceat(cells, firsts, axis=0), [*edges[:-1:every], edges[-1]]


def _table(cells: Cells, edges: Sequence[float], low: int) -> Table:
    cells, edges = _merged(cells, edges, _MOST_TABLE_ROWS)
    return Table(
        columns=["from", "to", "requests", "most frequent", "shortest", "longest"],
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
