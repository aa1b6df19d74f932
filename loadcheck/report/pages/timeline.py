"""What happened when: rates, latencies and outcomes over the seconds of the load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from loadcheck.report import words
from loadcheck.report.pages import Axis, Chart, Mark, Number, Series, Shape, Table, Unit
from loadcheck.report.pages import heat, latency
from loadcheck.report.pages.latency import GROUP, TIME
from loadcheck.report.pages.time_axis import Seconds, stage_marks

_MAX_POINTS = 2400
_MAX_ROWS = 60

Document = Mapping[str, Any]


def charts(document: Document, at_most: int = _MAX_POINTS) -> list[Chart]:
    """Return the charts over the seconds of the load; none if it has no second."""
    timeline = document.get("timeline")
    if not timeline or not timeline["second"]:
        return []
    seconds, table = Seconds(document, at_most), Seconds(document, _MAX_ROWS)
    stages = stage_marks(document)
    found = [
        _rates(document, seconds, table, stages),
        latency.chart(document, at_most),
        heat.chart(document),
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
    """Return what was not acknowledged on a scale of its own: beside the rest it would be flat."""
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
