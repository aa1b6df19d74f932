"""What happened when: rates, latencies and outcomes over the seconds of the load."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from loadcheck.measure.timeline import COUNTS, FIGURES, LEVELS
from loadcheck.report import words
from loadcheck.report.html.model import Axis, Chart, Mark, Number, Scale, Series, Shape, Table, Unit

_MAX_POINTS = 2400
_MAX_ROWS = 60
_WIDE = 20.0
_TICK_S = 0.05
_PART = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3}
_THRESHOLD = re.compile(
    r"(?P<step>[\w\-]+)\.(?:response_time\.)?(?P<statistic>p50|p99|max)\s*<=?\s*"
    r"(?P<limit>\d+(?:\.\d+)?)\s*(?P<unit>us|ms|s|m)"
)
_MILLISECONDS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 60e3}

GROUP = "time"
TIME = Axis(label="time since the load began", unit=Unit.CLOCK)

Document = Mapping[str, Any]


class Seconds:
    """The timeline in rows of one or more seconds.

    Attributes:
        every: Seconds in a row.
        begin: When each row begins.
    """

    def __init__(self, document: Document, at_most: int) -> None:
        self._columns = _joined(document)
        self._length = len(self._columns["second"])
        self.every = max(1, -(-self._length // at_most))
        self.begin = list(range(0, self._length, self.every))

    def _parts(self, name: str) -> list[list[float]]:
        column = self._columns.get(name, [None] * self._length)
        return [
            [value for value in column[start : start + self.every] if value is not None]
            for start in self.begin
        ]

    def rate(self, name: str) -> list[Number]:
        """Return a column of counts per second."""
        return [
            sum(part) / min(self.every, self._length - start)
            for start, part in zip(self.begin, self._parts(name), strict=True)
        ]

    def total(self, name: str) -> list[int]:
        """Return the running total of a column of counts at the end of each row."""
        return [int(total) for total in accumulate(map(sum, self._parts(name)))]

    def worst(self, name: str) -> list[Number]:
        """Return the highest value of each row."""
        return [max(part, default=None) for part in self._parts(name)]

    def middle(self, name: str) -> list[Number]:
        """Return the median of each row's values."""
        return [sorted(part)[(len(part) - 1) // 2] if part else None for part in self._parts(name)]


def _joined(document: Document) -> dict[str, list[Number]]:
    """Return the timeline's columns; a last row after the load's end joins the one before.

    It holds the few copies that fell into the moment between the end and the clock's last tick:
    by itself it would look like a second in which hardly anything was sent.
    """
    columns = {name: list(column) for name, column in document["timeline"].items()}
    seconds = columns["second"]
    ended_s = document.get("load", {}).get("duration_s", float("inf"))
    if len(seconds) < 2 or (seconds[-1] or 0) < ended_s - _TICK_S:  # noqa: PLR2004
        return columns
    for name, column in columns.items():
        last = column.pop()
        if name in COUNTS:
            column[-1] = (column[-1] or 0) + (last or 0)
        elif name in LEVELS:
            column[-1] = last
        elif name in FIGURES and last is not None:
            column[-1] = max(column[-1] or 0, last)
    return columns


def charts(document: Document) -> list[Chart]:
    """Return the charts over the seconds of the load; none if it has no second."""
    timeline = document.get("timeline")
    if not timeline or not timeline["second"]:
        return []
    seconds, table = Seconds(document, _MAX_POINTS), Seconds(document, _MAX_ROWS)
    stages = stage_marks(document)
    found = [_rates(document, seconds, table, stages), _latency(document, seconds, table, stages)]
    found += [_outcomes(document, seconds, table, stages)]
    others = _others(document, seconds, table, stages)
    return [*found, *([others] if others else []), _generator(seconds, table, stages)]


def _rates(document: Document, seconds: Seconds, table: Seconds, stages: list[Mark]) -> Chart:
    opened = document["scenario"].get("load", {}).get("model") != "closed"
    asked = Series(
        label="asked",
        role="asked",
        x=seconds.begin,
        y=seconds.rate("due"),
        shape=Shape.STEP,
        dash="dash",
    )
    reached = Series(
        label="reached",
        role="reached",
        x=seconds.begin,
        y=seconds.rate("started"),
        shape=Shape.STEP,
    )
    return Chart(
        name="rate",
        title="Rate asked for and reached",
        note="Copies of the workflow that fell due, and those that were started, per second."
        if opened
        else "Copies of the workflow that were started per second.",
        x=TIME,
        y=Axis(label="copies per second", unit=Unit.RATE),
        series=[reached, asked] if opened else [reached],
        marks=stages,
        group=GROUP,
        height=260,
        table=_table(table, {"asked": table.rate("due"), "reached": table.rate("started")}, "rate"),
    )


def _latency(document: Document, seconds: Seconds, table: Seconds, stages: list[Mark]) -> Chart:
    figures = {"p50": "p50_ms", "p99": "p99_ms", "longest": "max_ms"}
    middle = [start + seconds.every / 2 for start in seconds.begin]
    p50, p99, longest = (
        seconds.middle("p50_ms"),
        seconds.worst("p99_ms"),
        seconds.worst("max_ms"),
    )
    present = [value for column in (p50, p99) for value in column if value]
    wide = bool(present) and max(present) > _WIDE * min(present)
    ingest = document["workflow"].get("ingest", "")
    rest = "" if seconds.every == 1 else f" Each point is the worst of {seconds.every} seconds."
    return Chart(
        name="latency",
        title=f"Response time of {ingest}" if ingest else "Response time",
        note="Of the copies that were answered in each second, counted from when they were due."
        + rest,
        x=TIME,
        y=Axis(
            label="time",
            unit=Unit.MILLISECONDS,
            scale=Scale.LOG if wide else Scale.LINEAR,
            switch=True,
        ),
        series=[
            Series(label="longest", role="longest", x=middle, y=longest, dash="dot", faint=True),
            Series(label="p99", role="response", x=middle, y=p99),
            Series(label="p50", role="service", x=middle, y=p50, dash="dash"),
        ],
        marks=[*stages, *threshold_marks(document)],
        group=GROUP,
        table=_table(
            table,
            {
                name: table.middle(column) if name == "p50" else table.worst(column)
                for name, column in figures.items()
            },
            "duration",
        ),
    )


def _outcomes(document: Document, seconds: Seconds, table: Seconds, stages: list[Mark]) -> Chart:
    names = _present(document, ("acknowledged", "rejected", "indeterminate", "skipped"))
    return Chart(
        name="outcomes",
        title="Outcomes",
        note="What became of the copies in each second, on top of each other."
        if len(names) > 1
        else "What became of the copies in each second: nothing but acknowledged.",
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
        title="What did not go well",
        note="Retries are attempts beyond the first: their copies may be acknowledged after all.",
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


def _generator(seconds: Seconds, table: Seconds, stages: list[Mark]) -> Chart:
    middle = [start + seconds.every / 2 for start in seconds.begin]
    late = seconds.worst("lateness_p99_ms")
    return Chart(
        name="lateness",
        title="Our own lateness",
        note="From when a copy was due until its request was sent, 99th percentile: the "
        "generator's own fault, contained in the response times.",
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
    write = {"rate": words.rate, "duration": words.duration}[kind]
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


def stage_marks(document: Document) -> list[Mark]:
    """Return the stages of the load, and the wait for the count after it."""
    stages = document["scenario"].get("load", {}).get("stages") or []
    marks, start = [], 0.0
    if len(stages) > 1:
        for number, stage in enumerate(stages, 1):
            end = start + _duration_s(str(stage.get("duration", "")))
            name = str(stage.get("name") or f"stage {number}")
            marks.append(Mark(axis="x", at=start, to=end, label=name, role="stage"))
            start = end
    answers = (document.get("consistency") or {}).get("observations")
    if answers and "load" in document:
        ended_s, last_s = document["load"]["duration_s"], answers[-1]["asked_s"]
        if last_s > ended_s:
            label = "waiting for the count"
            marks.append(Mark(axis="x", at=ended_s, to=last_s, label=label, role="stage"))
    return marks


def threshold_marks(document: Document) -> list[Mark]:
    """Return the limits of the latencies that are drawn."""
    marks = []
    for threshold in document.get("thresholds", ()):
        match = _THRESHOLD.fullmatch(threshold["expression"].strip())
        if match is None or match["step"] != document["workflow"].get("ingest"):
            continue
        limit = float(match["limit"]) * _MILLISECONDS[match["unit"]]
        label = f"limit of {match['statistic']}: {words.duration(limit)}"
        marks.append(Mark(axis="y", at=limit, label=label, role="limit"))
    return marks


def _duration_s(text: str) -> float:
    """Return the seconds of a duration as scenarios write it; 0 for anything else."""
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
