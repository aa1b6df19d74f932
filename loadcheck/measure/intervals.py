"""Distributions by interval, from which stages, comparisons and curves over time are made.

Each interval of a :class:`~loadcheck.measure.grid.Grid` has a histogram of two significant digits
(buckets less than 0.8 % wide), so that a results file of any run stays small. The histograms of the
whole run, and of stages that thresholds name, have three; the intervals of a stage merge to exactly
its histogram at two digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from loadcheck.measure import Recorded, Sparse, pack, unpack
from loadcheck.measure.grid import Grid, Instants, coarsen
from loadcheck.measure.histogram import (
    SIGNIFICANT_DIGITS,
    Histogram,
    Places,
    decode_hdr,
    layout,
)
from loadcheck.measure.timeline import Stalls

DIGITS = 2
"""Significant digits of an interval's histogram."""

BUFFERED = 4096
"""Instants that are buffered before they are processed, for which copies have to wait."""

Row = npt.NDArray[np.uint32]
Matrix = npt.NDArray[np.uint32]


class IntervalHistograms(Recorded):
    """A histogram for each interval of a grid; samples above an hour count as an hour.

    Attributes:
        grid: The intervals.
    """

    __slots__ = ("_doublings", "_reached", "_rows", "_used", "grid")

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self._doublings = grid.doublings
        # zeroed pages cost no memory until something is counted in them
        self._rows: Matrix = np.zeros((grid.capacity, layout(DIGITS).size), dtype=np.uint32)
        self._used = self._reached = 0  # columns and rows that hold something

    def add(self, intervals: Places, places: Places) -> None:
        """Count samples.

        Args:
            intervals: The interval of each, by the grid; -1 for those that belong to none.
            places: The bucket of each as :meth:`Histogram.add` returns it.
        """
        self._catch_up()
        columns = _COARSER[places]
        self._used = max(self._used, int(columns.max()) + 1)
        self._reached = max(self._reached, int(intervals.max()) + 1)
        flat = intervals * self._rows.shape[1] + columns
        if intervals.min() < 0:
            flat = flat[intervals >= 0]
        np.add.at(self._rows.reshape(-1), flat, np.uint32(1))

    def _catch_up(self) -> None:
        """Merge intervals in pairs, as often as the grid has."""
        while self._doublings < self.grid.doublings:
            half = self._rows.shape[0] // 2
            used = self._rows[:, : self._used]
            used[:half] = used[0::2] + used[1::2]
            used[half:] = 0
            self._reached = -(-self._reached // 2)
            self._doublings += 1

    def rows(self) -> Matrix:
        """Return the bucket counts, a row for each interval that the grid can have."""
        self._catch_up()
        return self._rows

    def totals(self, number: int) -> list[int]:
        """Return the number of samples in each of the first intervals."""
        return [int(total) for total in self.rows()[:number].sum(axis=1)]

    def encode(self, number: int) -> list[str | None]:
        """Return the first intervals' HdrHistogram V2 encodings in base64; None for empty ones."""
        return [encode(row) if row.any() else None for row in self.rows()[:number]]

    def __getstate__(self) -> tuple[Grid, int, Sparse]:
        used = self.rows()[: self._reached, : self._used]
        return self.grid, self._used, pack(used.reshape(-1))

    def __setstate__(self, state: tuple[Grid, int, Sparse]) -> None:
        grid, used, packed = state
        IntervalHistograms.__init__(self, grid)
        self._used = used
        if used:
            rows = np.zeros((grid.capacity, used), dtype=np.uint32)
            unpack(packed, rows.reshape(-1))
            self._rows[:, :used] = rows
            self._reached = grid.capacity

    def __add__(self, other: IntervalHistograms) -> IntervalHistograms:
        merged = IntervalHistograms(self.grid + other.grid)
        for part in (self, other):
            rows = part.rows()[:, : part._used]
            rows = coarsen(rows.T, merged._doublings - part._doublings).T
            merged._rows[:, : part._used] += rows
            merged._used = max(merged._used, part._used)
            merged._reached = merged.grid.capacity
        return merged


class StepTimes(Recorded):
    """Response and service times of a step, for the whole run and by interval.

    The hot path only appends four instants; they are processed a thousand successes at a time.

    Args:
        grid: The intervals; None if only the whole is wanted.
        stalls: When the generator stood still; None: never.
        has_due_time: Whether the step has a response time.

    Attributes:
        service_time: Sent to done.
        response_time: Due to done; None for a step that has no due time of its own.
        waiting: Four instants of each success not processed yet: due, started, sent and done. The
            interval is that of the first. Callers append to it, and call :meth:`fold` when there
            are :data:`BUFFERED`: a method for it would cost every copy.
        service_time_low: Service time without what may have been the generator's own delay.
        response_time_low: Response time, likewise.
    """

    __slots__ = (
        "_by_interval",
        "_grid",
        "_stalls",
        "response_time",
        "response_time_low",
        "service_time",
        "service_time_low",
        "waiting",
    )

    def __init__(
        self, grid: Grid | None, *, has_due_time: bool, stalls: Stalls | None = None
    ) -> None:
        self.waiting: list[int] = []
        self._grid = grid
        self._stalls = Stalls() if stalls is None else stalls
        self.service_time = Histogram(self.fold)
        self.service_time_low = Histogram(self.fold)
        self.response_time = Histogram(self.fold) if has_due_time else None
        self.response_time_low = Histogram(self.fold) if has_due_time else None
        self._by_interval = (
            {
                name: IntervalHistograms(grid)
                for name in ("response_time", "service_time")
                if has_due_time or name == "service_time"
            }
            if grid is not None
            else {}
        )

    def fold(self) -> None:
        """Process the instants that wait."""
        if not self.waiting:
            return
        instants = np.fromiter(self.waiting, np.int64, len(self.waiting)).reshape(-1, 4)
        self.waiting.clear()
        self.add(*instants.T)

    def add(self, due: Instants, started: Instants, sent: Instants, done: Instants) -> None:
        """Record many successes at once; at least one."""
        intervals = self._grid.places(due) if self._grid is not None else due
        lost = self._stalls.within(sent, done)
        full, low = self.service_time, self.service_time_low
        times = {"service_time": _add_both(full, low, done - sent, lost)}
        if self.response_time is not None and self.response_time_low is not None:
            lost = self._stalls.within(started, done)
            if (started != due).any():
                # until it was started every delay was our own
                lost = started - due if lost is None else lost + (started - due)
            full, low = self.response_time, self.response_time_low
            times["response_time"] = _add_both(full, low, done - due, lost)
        for name, histograms in self._by_interval.items():
            histograms.add(intervals, times[name])

    def intervals(self, name: str) -> IntervalHistograms | None:
        """Return ``response_time`` or ``service_time`` by interval; None if it is not kept."""
        self.fold()
        return self._by_interval.get(name)

    _TOTALS = ("service_time", "service_time_low", "response_time", "response_time_low")

    def __getstate__(self) -> tuple[Any, ...]:
        self.fold()
        return self._by_interval, *(getattr(self, name) for name in self._TOTALS)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        by_interval, *totals = state
        StepTimes.__init__(self, None, has_due_time=totals[2] is not None)
        self._by_interval = by_interval
        for name, total in zip(self._TOTALS, totals, strict=True):
            setattr(self, name, None if total is None else total.feed_from(self.fold))

    def __add__(self, other: StepTimes) -> StepTimes:
        by_interval, *totals = self.__getstate__()
        by_interval2, *totals2 = other.__getstate__()
        merged = StepTimes.__new__(StepTimes)
        merged.__setstate__(
            (
                {name: by_interval[name] + by_interval2[name] for name in by_interval},
                *(
                    None if one is None else one + two
                    for one, two in zip(totals, totals2, strict=True)
                ),
            )
        )
        return merged


class Delays(Recorded):
    """How much later than due something happened, for the whole run and by interval.

    Attributes:
        total: The delays of the whole run.
        waiting: Two instants of each delay not processed yet: due, and when it happened. The
            interval is that of the first. Callers append to it, as in :class:`StepTimes`.
    """

    __slots__ = ("_by_interval", "_grid", "total", "waiting")

    def __init__(self, grid: Grid) -> None:
        self.waiting: list[int] = []
        self._grid = grid
        self._by_interval = IntervalHistograms(grid)
        self.total = Histogram(self.fold)

    def fold(self) -> None:
        """Process the instants that wait."""
        if not self.waiting:
            return
        instants = np.fromiter(self.waiting, np.int64, len(self.waiting)).reshape(-1, 2)
        self.waiting.clear()
        self.add(*instants.T)

    def add(self, due: Instants, then: Instants) -> None:
        """Record many delays at once; at least one."""
        self._by_interval.add(self._grid.places(due), self.total.add(then - due))

    def intervals(self) -> IntervalHistograms:
        """Return the delays by interval."""
        self.fold()
        return self._by_interval

    def __getstate__(self) -> tuple[IntervalHistograms, Histogram]:
        self.fold()
        return self._by_interval, self.total

    def __setstate__(self, state: tuple[IntervalHistograms, Histogram]) -> None:
        self.waiting = []
        self._by_interval, self.total = state
        self._grid = self._by_interval.grid
        self.total.feed_from(self.fold)

    def __add__(self, other: Delays) -> Delays:
        merged = Delays.__new__(Delays)
        merged.__setstate__((self.intervals() + other.intervals(), self.total + other.total))
        return merged


class Tally(Recorded):
    """How many events there were, by interval."""

    __slots__ = ("_counts", "_doublings", "_grid", "_waiting")

    def __init__(self, grid: Grid) -> None:
        self._waiting: list[int] = []
        self._grid = grid
        self._doublings = grid.doublings
        self._counts = np.zeros(grid.capacity, dtype=np.int64)

    def record(self, due_ns: int) -> None:
        """Count an event of the interval of ``due_ns``."""
        self._waiting.append(due_ns)
        if len(self._waiting) >= BUFFERED:
            self._fold()

    def _fold(self) -> None:
        intervals: Instants = self._grid.places(np.array(self._waiting, dtype=np.int64))
        self._waiting.clear()
        self._counts = coarsen(self._counts, self._grid.doublings - self._doublings)
        self._doublings = self._grid.doublings
        np.add.at(self._counts, intervals[intervals >= 0], 1)

    def counts(self, number: int) -> list[int]:
        """Return the counts of the first intervals."""
        self._fold()
        return [int(count) for count in self._counts[:number]]

    def __getstate__(self) -> tuple[Grid, Sparse]:
        self._fold()
        return self._grid, pack(self._counts)

    def __setstate__(self, state: tuple[Grid, Sparse]) -> None:
        grid, packed = state
        Tally.__init__(self, grid)
        unpack(packed, self._counts)

    def __add__(self, other: Tally) -> Tally:
        self._fold()
        other._fold()
        merged = Tally(self._grid + other._grid)
        for part in (self, other):
            merged._counts += coarsen(part._counts, merged._doublings - part._doublings)
        return merged


def _add_both(
    full: Histogram, low: Histogram, durations: Instants, lost: Instants | None
) -> Places:
    """Record durations, and in ``low`` without what each lost to stalls; None: nothing was lost."""
    if lost is None:
        return full.add(durations, low)
    low.add(durations - lost)
    return full.add(durations)


def encode(counts: Row) -> str:
    """Return bucket counts in HdrHistogram's V2 encoding, compressed and in base64."""
    buckets = layout(DIGITS)
    hdr = buckets.histogram()
    np.ctypeslib.as_array(hdr.counts)[:] = counts
    filled = np.flatnonzero(counts)
    hdr.total_count = int(counts.sum())
    hdr.min_value = int(buckets.lowest_us[filled[0]])
    hdr.max_value = int(buckets.highest_us[filled[-1]])
    return str(hdr.encode().decode("ascii"))


def decode(texts: Sequence[str | None]) -> Matrix:
    """Return the bucket counts that :func:`encode` wrote, a row for each text.

    Raises:
        ValueError: One of them is not such an encoding.
    """
    rows: Matrix = np.zeros((len(texts), layout(DIGITS).size), dtype=np.uint32)
    for row, text in zip(rows, texts, strict=True):
        if text is None:
            continue
        hdr = decode_hdr(text, DIGITS)
        if hdr.counts_len != row.size:
            raise ValueError(f"an HdrHistogram of another range, or not of {DIGITS} digits")
        row[:] = np.ctypeslib.as_array(hdr.counts)
    return rows


_COARSER = layout(SIGNIFICANT_DIGITS).coarser(layout(DIGITS))
