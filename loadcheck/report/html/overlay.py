"""Runs drawn over each other: a base and a candidate, one run or several on each side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

from loadcheck.measure import Histogram
from loadcheck.report import words
from loadcheck.report.html import latency, percentiles
from loadcheck.report.html.latency import GROUP, TIME
from loadcheck.report.html.model import Axis, Chart, Number, Scale, Series, Shape, Table, Unit
from loadcheck.report.html.seconds import Seconds

_MAX_POINTS = 1200
_WIDE = 20.0
_ROWS = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99)

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One side of a comparison.

    Attributes:
        label: Its name in charts.
        role: "base" or "candidate".
        dash: How its lines are told apart without colour.
        runs: Results documents, at least one.
    """

    label: str
    role: str
    dash: str
    runs: Sequence[Document]


def charts(sides: Sequence[Side]) -> list[Chart]:
    """Return the charts in which runs are drawn over each other."""
    found = [
        _percentiles(sides),
        _ratio(sides),
        _over_time(sides, "p50", "Median response time"),
        _over_time(sides, "p99", "Response time, 99th percentile"),
        _rates(sides),
        _waiting(sides),
    ]
    return [chart for chart in found if chart is not None]


def _percentiles(sides: Sequence[Side]) -> Chart | None:
    merged = _merged(sides)
    if not merged:
        return None
    return percentiles.chart_of(
        [(side.label, side.role, side.dash, times) for side, times in merged],
        note="Due to done, of the step whose outcome is a copy's"
        + (", all runs of a side together." if any(len(s.runs) > 1 for s in sides) else "."),
    )


def _ratio(sides: Sequence[Side]) -> Chart | None:
    """Return how much slower the candidate is, percentile by percentile."""
    merged = _merged(sides)
    if len(merged) != len(sides) or len(merged) < 2:  # noqa: PLR2004
        return None
    (_, base), (side, candidate) = merged[0], merged[-1]
    # beyond the tenth largest sample a percentile is chance
    x = [value for value in percentiles.grid(min(base.count, candidate.count) / 10) if value > 1]
    y = [_change(base, candidate, 100 * (1 - 1 / value)) for value in x]
    if not x:
        return None
    return Chart(
        name="ratio",
        title="How much slower, percentile by percentile",
        note=f"{side.label} against {merged[0][0].label}; above zero it is slower.",
        x=Axis(label="percentile", unit=Unit.PERCENTILE, scale=Scale.PERCENTILE),
        y=Axis(label="difference", unit=Unit.SHARE),
        series=[Series(label="difference", role=side.role, x=x, y=y)],
        height=220,
        table=Table(
            columns=["percentile", merged[0][0].label, side.label, "difference"],
            rows=[
                [
                    f"p{level:g}",
                    words.duration(base.percentile_ms(level)),
                    words.duration(candidate.percentile_ms(level)),
                    _signed(_change(base, candidate, level)),
                ]
                for level in _ROWS
            ],
        ),
    )


def _change(base: Histogram, candidate: Histogram, percentile: float) -> Number:
    before, after = base.percentile_ms(percentile), candidate.percentile_ms(percentile)
    return after / before - 1 if before and after else None


def _signed(change: Number) -> str:
    return "–" if change is None else f"{100 * change:+.1f} %"


def _over_time(sides: Sequence[Side], name: str, title: str) -> Chart | None:
    def points(document: Document) -> tuple[Sequence[Number], Sequence[Number]]:
        curves = latency.curves(document, _MAX_POINTS)
        middle = [(a + b) / 2 for a, b in zip(curves.begin, curves.end, strict=True)]
        return middle, curves.columns[name]

    series = _lines(sides, points)
    values = [value for one in series for value in one.y if value]
    if not values:
        return None
    wide = max(values) > _WIDE * min(values)
    return Chart(
        name=name,
        title=title,
        note="Of the copies in each stretch of the load, counted from when they were due.",
        x=TIME,
        y=Axis(
            label="time",
            unit=Unit.MILLISECONDS,
            scale=Scale.LOG if wide else Scale.LINEAR,
            switch=True,
        ),
        series=series,
        group=GROUP,
        height=240,
        table=_runs_table(sides, name, lambda document: _headline(document, name)),
    )


def _rates(sides: Sequence[Side]) -> Chart | None:
    def points(document: Document) -> tuple[Sequence[Number], Sequence[Number]]:
        seconds = Seconds(document, _MAX_POINTS)
        return seconds.begin, seconds.rate("started")

    series = _lines(sides, points, Shape.STEP)
    if not series:
        return None
    return Chart(
        name="rate",
        title="Rate reached",
        note="Copies that were started, per second.",
        x=TIME,
        y=Axis(label="copies per second", unit=Unit.RATE),
        series=series,
        group=GROUP,
        height=220,
        table=_runs_table(
            sides,
            "rate",
            lambda document: words.rate((document.get("load") or {}).get("reached_rate")),
        ),
    )


def _waiting(sides: Sequence[Side]) -> Chart | None:
    """Return how many users were acknowledged and not counted yet, at each answer."""

    def points(document: Document) -> tuple[Sequence[Number], Sequence[Number]]:
        seen = document.get("consistency") or {}
        baseline = seen.get("baseline") or 0
        good = [
            answer
            for answer in seen.get("observations", ())
            if answer["uniques"] is not None and answer.get("acknowledged") is not None
        ]
        return (
            [answer["asked_s"] for answer in good],
            [max(0, answer["acknowledged"] - (answer["uniques"] - baseline)) for answer in good],
        )

    series = [one for one in _lines(sides, points) if one.x]
    if not series:
        return None
    return Chart(
        name="waiting",
        title="Acknowledged and not counted yet",
        note="Users whose upload was acknowledged when the service was asked, less those it "
        "counted. What is left at the end is lost.",
        x=TIME,
        y=Axis(label="users", unit=Unit.COUNT),
        series=series,
        group=GROUP,
        height=220,
        table=_runs_table(
            sides,
            "lost",
            lambda document: words.count((document.get("consistency") or {}).get("lost_at_least")),
        ),
    )


def _lines(
    sides: Sequence[Side],
    points: Callable[[Document], tuple[Sequence[Number], Sequence[Number]]],
    shape: Shape = Shape.LINE,
) -> list[Series]:
    """Return a line for each run; only a side's first one bears its name."""
    found = []
    for side in sides:
        for place, document in enumerate(side.runs):
            if not (document.get("timeline") or {}).get("second"):
                continue
            x, y = points(document)
            label = side.label if place == 0 else f"{side.label} {place + 1}"
            found.append(
                Series(
                    label=label,
                    role=side.role,
                    x=x,
                    y=y,
                    dash=side.dash,
                    shape=shape,
                    faint=len(side.runs) > 1,
                    quiet=place > 0,
                )
            )
    return found


def _runs_table(sides: Sequence[Side], what: str, value: Callable[[Document], str]) -> Table:
    return Table(
        columns=["run", what],
        rows=[
            [f"{side.label}: {document['run']['id']}", value(document)]
            for side in sides
            for document in side.runs
        ],
        note="Of each run as a whole; loadcheck export RUN --format csv has every second.",
    )


def _headline(document: Document, name: str) -> str:
    times = headline_times(document)
    return "–" if times is None else words.duration(times[f"{name}_ms"])


def headline_times(document: Document) -> Mapping[str, Any] | None:
    """Return the histogram of the step whose outcome is a copy's; None without samples."""
    step = document.get("steps", {}).get(document["workflow"].get("ingest"))
    if step is None:
        return None
    times: Mapping[str, Any] = step["response_time"] or step["service_time"]
    return times if times["count"] else None


def _merged(sides: Sequence[Side]) -> list[tuple[Side, Histogram]]:
    """Return the sides that have samples, each with those of all its runs."""
    found = []
    for side in sides:
        recorded = [times for times in map(headline_times, side.runs) if times is not None]
        if recorded:
            decoded = (Histogram.decode(times["hdr"]) for times in recorded)
            found.append((side, reduce(add, decoded)))
    return found
