"""A result's timeline in rows of one or more seconds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import accumulate
from typing import Any

from loadcheck.measure.timeline import COUNTS, FIGURES, LEVELS
from loadcheck.report import stored
from loadcheck.report.html.model import Number

_TICK_S = 0.05
_SENDING = frozenset({"due", "started"})

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
    """Return the timeline's columns, made such that the end of the load shows as what it is.

    The few copies that fell into the moment between the last second's end and the clock's tick
    belong to that second; a row after the end that holds nothing else joins the one before.
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
    """Make one row of the last two."""
    for name, column in columns.items():
        last = column.pop()
        if name in COUNTS:
            column[-1] = (column[-1] or 0) + (last or 0)
        elif name in LEVELS:
            column[-1] = last
        elif name in FIGURES and last is not None:
            column[-1] = max(column[-1] or 0, last)
