"""Decodes, checks and resamples the intervals of a results file.

Curves made of them are embedded in a comparison, so that a page can overlay its runs.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from loadcheck.compare.bootstrap import Counts, Draws, Floats, Ints, draw, percentiles
from loadcheck.errors import Problem, ResultFileError
from loadcheck.measure.histogram import Histogram, layout
from loadcheck.measure.intervals import DIGITS, decode
from loadcheck.result import Document

_HAIR_S = 1e-6
"""Tolerance for instants, which are rounded in the file."""
NO_INTERVALS = "the file has no intervals"
_TOO_SHORT = "the load was too short"


class Intervals:
    """The intervals of one results file, decoded and checked.

    Attributes:
        number: How many there are.
        draws: Bootstrap draws of them; None if there are too few.
        width_s: Length of each, in seconds.
        strata: Index of the stage of each.
        stages: Names of the stages.
        trouble: Why there are no draws; "" if there are.
    """

    def __init__(self, document: Document, file: str) -> None:
        self.file = file
        self._decoded: dict[tuple[str, str | None], Counts | None] = {}
        self._columns: Mapping[str, Any] = document.get("intervals") or {}
        begins = np.array(self._columns.get("from_s", ()), dtype=np.float64)
        self.number = int(begins.size)
        self.width_s: Floats = (
            self._numbers("to_s", self._columns) - begins if self.number else begins
        )
        if not self._adjoin(begins):
            raise self._broken("to_s", "intervals must follow each other without gaps")
        strata = np.zeros(self.number, dtype=np.int64)
        stages = document.get("stages") or ()
        self.stages: tuple[str, ...] = ()
        if stages and self.number:
            starts = np.array([stage["from_s"] for stage in stages])
            found = np.maximum(np.searchsorted(starts - _HAIR_S, begins, side="right") - 1, 0)
            numbers, strata = np.unique(found, return_inverse=True)
            self.stages = tuple(stages[number]["name"] for number in numbers)
        self.strata: Ints = strata.astype(np.int64)
        random = np.random.default_rng(zlib.crc32(str(document["run"]["id"]).encode()))
        self.draws: Draws | None = draw(self.strata, random) if self.number else None
        self.trouble = NO_INTERVALS
        if self.number:
            self.trouble = "" if self.draws is not None else _TOO_SHORT

    def _adjoin(self, begins: Floats) -> bool:
        """Return whether each interval begins where the one before it ends."""
        gaps = np.abs(begins[1:] - (begins + self.width_s)[:-1])
        return bool((self.width_s > 0).all() and (gaps < _HAIR_S).all())

    def _numbers(self, name: str, columns: Mapping[str, Any], where: str = "") -> Floats:
        values = np.array(columns[name], dtype=np.float64)
        if values.size != self.number:
            raise self._broken(
                where + name, f"has {values.size} values for {self.number} intervals"
            )
        return values

    def _broken(self, key: str, message: str) -> ResultFileError:
        return ResultFileError(
            Problem(
                file=self.file,
                key=f"intervals.{key}",
                message=message,
                remedy="was it edited by hand?",
            )
        )

    def column(self, name: str, step: str | None = None) -> Floats:
        """Return a column of counts, of the load or of a step."""
        if step is None:
            return self._numbers(name, self._columns)
        return self._numbers(name, self._columns["steps"][step], f"steps.{step}.")

    def histograms(self, name: str, step: str | None = None) -> Counts | None:
        """Return a column of histograms as rows of bucket counts; None if it is not there."""
        if (name, step) not in self._decoded:
            self._decoded[name, step] = self._decode(name, step)
        return self._decoded[name, step]

    def _decode(self, name: str, step: str | None) -> Counts | None:
        columns, where = self._columns, name
        if step is not None:
            columns = (self._columns.get("steps") or {}).get(step) or {}
            where = f"steps.{step}.{name}"
        texts = columns.get(name)
        if texts is None:
            return None
        if len(texts) != self.number:
            raise self._broken(where, f"has {len(texts)} values for {self.number} intervals")
        try:
            return decode(texts)
        except ValueError as error:
            raise self._broken(where, str(error)) from error

    def has(self, step: str) -> bool:
        """Return whether there are intervals of a step."""
        return step in (self._columns.get("steps") or {})


PERCENTILES = (
    0, 10, 20, 30, 40, 50, 60, 70, 75, 80, 85, 90, 92.5, 95, 97, 98, 99, 99.5, 99.7, 99.9, 99.95,
    99.99, 99.995, 99.999, 100,
)  # fmt: skip
"""The points of the percentile curve."""


def curves(document: Document, intervals: Intervals) -> dict[str, Any]:
    """Return a run's curves: by percentile, and over the time at which copies were due.

    Args:
        document: The document of a complete run.
        intervals: Those of the same document.

    Raises:
        ResultFileError: A histogram in it is broken.
    """
    columns = document.get("intervals")
    over_time: dict[str, Any] = {"from_s": [], "to_s": [], "due": [], "acknowledged": []}
    if columns:
        over_time = {name: columns[name] for name in over_time}
    steps = {}
    for name, step in document["steps"].items():
        time = "service_time" if step["response_time"] is None else "response_time"
        steps[name] = {
            "time": time,
            "percentiles": _by_percentile(step[time], intervals.file, f"steps.{name}.{time}"),
            "intervals": _over_time(intervals, name, time),
        }
    return {"percentiles": list(PERCENTILES), "intervals": over_time, "steps": steps}


def _by_percentile(times: Document, file: str, key: str) -> list[float | None]:
    try:
        histogram = Histogram.decode(times["hdr"])
    except ValueError as error:
        raise ResultFileError(
            Problem(
                file=file, key=f"{key}.hdr", message=str(error), remedy="was it edited by hand?"
            )
        ) from error
    return histogram.percentiles_ms(PERCENTILES)


def _over_time(intervals: Intervals, step: str, time: str) -> dict[str, Sequence[float | None]]:
    counts = intervals.histograms(time, step)
    if counts is None or not intervals.number:
        return {"p50_ms": [], "p99_ms": []}
    found = percentiles(counts, layout(DIGITS), (50.0, 99.0)) / 1000
    return {
        name: [None if np.isnan(value) else round(float(value), 4) for value in found[:, column]]
        for column, name in enumerate(("p50_ms", "p99_ms"))
    }
