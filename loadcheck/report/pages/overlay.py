"""Runs drawn over each other: a base and a candidate, one run or several on each side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from loadcheck.report import words
from loadcheck.report.page import Axis, Chart, Mark, Number, Scale, Series, Shape, Table, Unit
from loadcheck.report.pages.latency import GROUP, TIME

_WIDE = 20.0
_ALL = 100.0
_SIDES = (("base", "dash"), ("candidate", ""))
_MAX_ROWS = 60

Document = Mapping[str, Any]


def latency_charts(document: Document) -> list[Chart]:
    """Return a chart of percentiles for each step of a comparison that has samples."""
    found = [_percentiles(document, step) for step in _steps(document)]
    return [chart for chart in found if chart is not None]


def time_charts(document: Document) -> list[Chart]:
    """Return the charts over the load; none if the files had no intervals."""
    found = [_rate(document)]
    for step in _steps(document):
        found += [
            _over_time(document, step, "p50_ms", "p50"),
            _over_time(document, step, "p99_ms", "p99"),
        ]
    return [chart for chart in found if chart is not None]


def _steps(document: Document) -> list[str]:
    """Return the steps that every run has."""
    runs = [run for side, _ in _SIDES for run in document[side]]
    return [name for name in runs[0]["curves"]["steps"] if all(_has(run, name) for run in runs)]


def _has(run: Document, step: str) -> bool:
    return step in run["curves"]["steps"]


def _lines(document: Document) -> Iterator[tuple[Document, dict[str, Any]]]:
    """Yield every run with how its line looks; a side's first run bears its name."""
    for side, dash in _SIDES:
        for place, run in enumerate(document[side]):
            yield (
                run,
                {
                    "label": side if place == 0 else f"{side} {place + 1}",
                    "role": side,
                    "dash": dash,
                    "faint": len(document[side]) > 1,
                    "quiet": place > 0,
                },
            )


def _percentiles(document: Document, step: str) -> Chart | None:
    series = []
    for run, look in _lines(document):
        times = run["curves"]["steps"][step]["percentiles"]
        points = [
            (1 / (1 - level / _ALL), value)
            for level, value in zip(run["curves"]["percentiles"], times, strict=True)
            if value is not None and level is not None and level < _ALL
        ]
        if points:
            x, y = zip(*points, strict=True)
            series.append(Series(x=x, y=y, **look))
    if not series:
        return None
    first = document["base"][0]["curves"]
    return Chart(
        name=f"percentiles-{_id(document, step)}",
        title=f"{_time(document, step)} of {step} by percentile",
        note="The percentile axis is logarithmic, to show the tail.",
        x=Axis(label="percentile", unit=Unit.PERCENTILE, scale=Scale.PERCENTILE),
        y=_time_axis(series),
        series=series,
        height=320,
        table=Table(
            columns=["percentile", *(look["label"] for _, look in _lines(document))],
            rows=[
                [
                    "longest" if level == _ALL else f"p{level:g}",
                    *(
                        words.duration(run["curves"]["steps"][step]["percentiles"][place])
                        for run, _ in _lines(document)
                    ),
                ]
                for place, level in enumerate(first["percentiles"])
            ],
        ),
    )


def _over_time(document: Document, step: str, column: str, name: str) -> Chart | None:
    series = []
    for run, look in _lines(document):
        intervals, values = run["curves"]["intervals"], run["curves"]["steps"][step]["intervals"]
        if intervals["from_s"] and len(values[column]) == len(intervals["from_s"]):
            series.append(Series(x=_middles(intervals), y=values[column], **look))
    if not any(value is not None for one in series for value in one.y):
        return None
    return Chart(
        name=f"{name}-{_id(document, step)}",
        title=f"{_time(document, step)} of {step}, {name}",
        note="Of the copies due in each interval of the load.",
        x=TIME,
        y=_time_axis(series),
        series=series,
        marks=_stages(document),
        group=GROUP,
        height=240,
        table=_table(series, words.duration),
    )


def _rate(document: Document) -> Chart | None:
    series = []
    for run, look in _lines(document):
        intervals = run["curves"]["intervals"]
        if not intervals["from_s"]:
            continue
        rates = [
            count / (end - begin)
            for count, begin, end in zip(
                intervals["acknowledged"], intervals["from_s"], intervals["to_s"], strict=True
            )
        ]
        series.append(Series(x=intervals["from_s"], y=rates, shape=Shape.STEP, **look))
    if not series:
        return None
    return Chart(
        name="rate",
        title="Rate of acknowledged copies",
        note="Of the copies due in each interval of the load, per second.",
        x=TIME,
        y=Axis(label="copies per second", unit=Unit.RATE),
        series=series,
        marks=_stages(document),
        group=GROUP,
        height=220,
        table=_table(series, words.rate),
    )


def _middles(intervals: Document) -> list[Number]:
    return [
        (begin + end) / 2 for begin, end in zip(intervals["from_s"], intervals["to_s"], strict=True)
    ]


def _stages(document: Document) -> list[Mark]:
    """Return the stages of the candidate's load, if it has more than one."""
    stages = document["candidate"][-1]["stages"]
    if len(stages) <= 1:
        return []
    return [
        Mark(axis="x", at=stage["from_s"], to=stage["to_s"], label=stage["name"], role="stage")
        for stage in stages
    ]


def _time_axis(series: Sequence[Series]) -> Axis:
    present = [value for one in series for value in one.y if value]
    wide = bool(present) and max(present) > _WIDE * min(present)
    return Axis(
        label="time",
        unit=Unit.MILLISECONDS,
        scale=Scale.LOG if wide else Scale.LINEAR,
        switch=True,
    )


def _time(document: Document, step: str) -> str:
    kind = str(document["base"][0]["curves"]["steps"][step]["time"])
    return kind.replace("_", " ").capitalize()


def _id(document: Document, step: str) -> str:
    """Return a step's number: its name may hold what an element's id must not."""
    return str(_steps(document).index(step) + 1)


def _table(series: Sequence[Series], write: Any) -> Table:
    """Return the values at the first run's times; the others' at the same place in order."""
    first = series[0]
    every = max(1, -(-len(first.x) // _MAX_ROWS))
    return Table(
        columns=["at", *(one.label for one in series)],
        rows=[
            [
                words.clock(first.x[place] or 0),
                *(write(one.y[place]) if place < len(one.y) else "–" for one in series),
            ]
            for place in range(0, len(first.x), every)
        ],
        note="" if every == 1 else f"One interval in {every} is shown.",
    )
