"""A result's timeline in rows of one or more seconds."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import Any

from loadcheck.measure.timeline import COUNTS, FIGURES, LEVELS
from loadcheck.report.html.model import Number

_TICK_S = 0.05

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
