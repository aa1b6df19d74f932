"""A result's timeline in rows of one or more seconds, and the marks of charts over time.

Marks are stages, limits, and stretches from which users are missing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from itertools import accumulate
from typing import Any

from loadcheck.measure.timeline import COUNTS, FIGURES, LEVELS
from loadcheck.report import words
from loadcheck.report.pages import Axis, Mark, Number, Scale, Unit
from loadcheck.result import Document
from loadcheck.result import store as stored

_PART = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3}
_THRESHOLD = re.compile(
    r"(?:(?P<stage>[\w\-]+)\s*:\s*)?(?P<step>[\w\-]+)\.(?:response_time\.)?"
    r"(?P<statistic>p50|p99|max)\s*<=?\s*(?P<limit>\d+(?:\.\d+)?)\s*(?P<unit>us|ms|s|m)"
)
_MILLISECONDS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 60e3}


_WIDE = 20.0
"""Above this ratio of the longest to the shortest time, the axis is logarithmic."""


def time_axis(values: Iterable[Number]) -> Axis:
    """Return the axis of times: logarithmic if they lie far apart, and the reader may switch."""
    present = [value for value in values if value]
    wide = bool(present) and max(present) > _WIDE * min(present)
    scale = Scale.LOG if wide else Scale.LINEAR
    return Axis(label="time", unit=Unit.MILLISECONDS, scale=scale, switch=True)


def span_marks(spans: Iterable[tuple[str, float, float]]) -> list[Mark]:
    """Return marks for stages, each with its name, begin and end."""
    return [
        Mark(axis="x", at=begin, to=end, label=name, role="stage") for name, begin, end in spans
    ]


def stage_marks(document: Document) -> list[Mark]:
    """Return the stages of the load, and the wait for the count after it."""
    stages = _stages(document)
    marks = []
    if len(stages) > 1:
        marks = span_marks(stages)
    aborted = document["run"].get("aborted")
    if aborted:
        at_s = aborted["at_s"]
        marks.append(Mark(axis="x", at=at_s, label="stopped by a threshold", role="limit"))
    answers = (document.get("consistency") or {}).get("observations")
    if answers and "load" in document:
        ended_s, last_s = document["load"]["duration_s"], answers[-1]["asked_s"]
        if last_s > ended_s:
            label = "waiting for the count"
            marks.append(Mark(axis="x", at=ended_s, to=last_s, label=label, role="stage"))
    return marks


def _stages(document: Document) -> list[tuple[str, float, float]]:
    """Return name, begin and end of each stage; older files have them in the scenario only."""
    if "stages" in document:
        return [(stage["name"], stage["from_s"], stage["to_s"]) for stage in document["stages"]]
    stages, start = [], 0.0
    for number, stage in enumerate(document["scenario"].get("load", {}).get("stages") or [], 1):
        end = start + _duration_s(str(stage.get("duration", "")))
        stages.append((str(stage.get("name") or f"stage {number}"), start, end))
        start = end
    return stages


def limit_marks(document: Document) -> list[Mark]:
    """Return the limits of the latencies that are drawn, each for its stage if it has one."""
    marks = []
    spans = {name: (begin, end) for name, begin, end in _stages(document)}
    for threshold in document.get("thresholds", ()):
        match = _THRESHOLD.fullmatch(threshold["expression"].strip())
        if match is None or match["step"] != document["workflow"].get("ingest"):
            continue
        if match["stage"] and match["stage"] not in spans:
            continue
        limit = float(match["limit"]) * _MILLISECONDS[match["unit"]]
        label = f"limit of {match['statistic']}: {words.duration(limit)}"
        span = spans.get(match["stage"] or "")
        marks.append(Mark(axis="y", at=limit, label=label, role="limit", span=span))
    return marks


def window_marks(document: Document) -> list[Mark]:
    """Return the stretches of the load from which users are missing."""
    localized = (document.get("consistency") or {}).get("localized") or {}
    return [
        Mark(
            axis="x",
            at=window["from_s"],
            to=max(window["to_s"], window["from_s"] + 1),
            label=f"{words.count(window['lost'])} lost",
            role="lost",
        )
        for window in localized.get("windows", ())
    ]


def _duration_s(text: str) -> float:
    """Return the seconds of a duration as scenarios write it; 0 for anything else."""
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))


_TICK_S = 0.05
_SENDING = frozenset({"due", "started"})


class Seconds:
    """The timeline in rows of one or more seconds.

    Attributes:
        every: Seconds in a row.
        begin: When each row begins.
    """

    def __init__(self, document: Document, at_most: int) -> None:
        self._columns = _joined(document)
        self._length = len(self._columns["second"])
        self._ended_s = float(document.get("load", {}).get("duration_s", self._length))
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
        # copies are sent until the load ends, their outcomes may come until the row does
        end_s = float(self._length)
        if name in _SENDING or self._length == 1:
            end_s = min(end_s, self._ended_s)
        return [
            sum(part) / max(min(self.every, end_s - start), _TICK_S)
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


def _joined(document: Document) -> dict[str, list[Any]]:
    """Return the timeline's columns, corrected at the end of the load.

    The few copies between the end of the last second and the clock's tick belong to that second; a
    single row after the end is merged with the one before.
    """
    columns = stored.columns(document["timeline"], "timeline")
    ended_s = document.get("load", {}).get("duration_s")
    if ended_s is None:
        return columns
    last = max(math.ceil(ended_s - _TICK_S) - 1, 0)
    if len(columns["second"]) == last + 2:
        _join(columns)
    for name in _SENDING & columns.keys():
        column = columns[name]
        if last < len(column):
            column[last:] = [sum(filter(None, column[last:])), *([0] * (len(column) - last - 1))]
    return columns


def _join(columns: dict[str, list[Any]]) -> None:
    """Merge the last two rows."""
    for name, column in columns.items():
        last = column.pop()
        if name in COUNTS:
            column[-1] = (column[-1] or 0) + (last or 0)
        elif name in LEVELS:
            column[-1] = last
        elif name in FIGURES and last is not None:
            column[-1] = max(column[-1] or 0, last)
