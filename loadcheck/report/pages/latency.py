"""Response time over the load: of the copies that fell due in each stretch of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from loadcheck.measure.histogram import layout
from loadcheck.measure.intervals import DIGITS, Matrix
from loadcheck.report import words
from loadcheck.report.page import Axis, Chart, Number, Scale, Series, Table, Unit
from loadcheck.report.pages.time_axis import Seconds, limit_marks, stage_marks
from loadcheck.result import store as stored

_MAX_POINTS = 2400
_MAX_ROWS = 60
_WIDE = 20.0
"""From this ratio of the longest to the shortest on, times are laid out logarithmically."""

GROUP = "time"
TIME = Axis(label="time since the start of the load", unit=Unit.CLOCK)

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """Percentiles over time.

    Attributes:
        begin, end: Of each stretch, in seconds since the load began.
        columns: Milliseconds by name.
        note: Which copies each stretch is about.
    """

    begin: Sequence[float]
    end: Sequence[float]
    columns: Mapping[str, Sequence[Number]]
    note: str


def chart(document: Document) -> Chart | None:
    """Return the chart; None if no copy succeeded."""
    drawn = curves(document, _MAX_POINTS)
    if not any(drawn.columns["longest"]):
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
        y=Axis(
            label="time",
            unit=Unit.MILLISECONDS,
            scale=_scale([*drawn.columns["p50"], *drawn.columns["p99"]]),
            switch=True,
        ),
        series=[
            Series(
                label="max",
                role="longest",
                x=middle,
                y=drawn.columns["longest"],
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
        at_most: Points, of those by second: neighbours are joined.
    """
    return _intervals(document, 1) or _seconds(document, at_most)


def _scale(values: Sequence[Number]) -> Scale:
    present = [value for value in values if value]
    wide = bool(present) and max(present) > _WIDE * min(present)
    return Scale.LOG if wide else Scale.LINEAR


def _has_due_time(document: Document) -> bool:
    step = document.get("steps", {}).get(document["workflow"].get("ingest"))
    return step is None or step["response_time"] is not None


def _intervals(document: Document, at_most: int) -> Curves | None:
    """Return percentiles of the copies that fell due in each interval; None for older files.

    Args:
        document: The result.
        at_most: Intervals; neighbours are joined until there are no more. 1 means all.
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
            "longest": _percentiles(counts, 100),
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
            "longest": seconds.worst("max_ms"),
        },
        note=f"Of the responses received in each {each}",
    )
