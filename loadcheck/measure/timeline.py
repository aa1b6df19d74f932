"""What happened in each second of a run, in columns, and when the generator itself stood still.

It does when it is stopped, suspended, without a CPU, or busy. Time for which a response waited for
our own process is not the target's. Stalls are recorded as stretches of time in which the event
loop should have had its turn but had not; the part of a latency that lies in them may be our own,
so a latency is an interval.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from loadcheck.measure import Recorded, Settled, Sparse, pack, unpack
from loadcheck.measure.histogram import SIGNIFICANT_DIGITS, Counts, layout, percentiles_of

PAUSE_NS = 500_000_000
"""A stall of this length is a pause: it is reported, and copies that fell due in it are skipped.

Those due in a shorter one are started late, a little faster than at the schedule's peak rate.
"""
RESOLUTION_NS = 1_000_000
"""Timers of the event loop are exact to a millisecond: shorter delays are not stalls."""
_MOST_EDGES = 1 << 16

Instants = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Pause:
    """A long stall.

    Attributes:
        at_ns: When it began, since the load began.
        length_ns: How long it lasted.
        suspended: Whether the whole machine slept: then nothing fell due meanwhile.
    """

    at_ns: int
    length_ns: int
    suspended: bool = False


class Stalls(Recorded):
    """Stretches of time in which the process did not run when it should have.

    Attributes:
        next_turn_ns: When the event loop is to have its next turn at the latest; 0 if unknown.
        pauses: The long ones, in order.
    """

    __slots__ = ("_edges", "_origin_ns", "_totals", "next_turn_ns", "pauses")

    def __init__(self) -> None:
        # begin and end of each, alternating, and the time lost up to there
        self._edges = array("q")
        self._totals = array("q")
        self._origin_ns = 0
        self.next_turn_ns = 0
        self.pauses: list[Pause] = []

    def begin(self, begin_ns: int) -> None:
        """Note when the load began."""
        earlier_ns = begin_ns - self._origin_ns
        self._origin_ns = begin_ns
        self._edges = array("q", [edge - earlier_ns for edge in self._edges])
        self.pauses = [replace(pause, at_ns=pause.at_ns - earlier_ns) for pause in self.pauses]

    def add(self, begin_ns: int, end_ns: int) -> None:
        """Record a stall that has just ended; it may overlap with earlier ones."""
        begin_ns -= self._origin_ns
        end_ns -= self._origin_ns
        edges, totals = self._edges, self._totals
        while edges and edges[-2] >= begin_ns:
            # it lies within this one
            del edges[-2:], totals[-2:]
        while self.pauses and self.pauses[-1].at_ns >= begin_ns and not self.pauses[-1].suspended:
            self.pauses.pop()
        if edges:
            begin_ns = max(begin_ns, edges[-1])
        if end_ns <= begin_ns:
            return
        lost_ns = totals[-1] if totals else 0
        edges.extend((begin_ns, end_ns))
        totals.extend((lost_ns, lost_ns + end_ns - begin_ns))
        if end_ns - begin_ns >= PAUSE_NS:
            self.pauses.append(Pause(at_ns=begin_ns, length_ns=end_ns - begin_ns))
        if len(edges) > _MOST_EDGES:
            # for latencies that began before these, less is known to be our own
            del edges[: _MOST_EDGES // 2], totals[: _MOST_EDGES // 2]

    def suspended(self, at_ns: int, length_ns: int) -> None:
        """Record a sleep of the whole machine, during which the monotonic clock stood still."""
        at_ns -= self._origin_ns
        self.pauses.append(Pause(at_ns=at_ns, length_ns=length_ns, suspended=True))

    def within(self, begins: Instants, ends: Instants) -> Instants | None:
        """Return how much of each stretch from ``begins`` to ``ends`` was lost to stalls, in ns.

        None if no stretch lost anything: almost always, and it saves the computation.
        """
        latest_ns = int(ends.max())
        if 0 < self.next_turn_ns < latest_ns - RESOLUTION_NS:
            # what the loop reads first after a stall may be processed before the stall is noticed
            self.add(self.next_turn_ns, latest_ns)
        if not self._edges or latest_ns - self._origin_ns <= self._edges[0]:
            return None
        earliest_ns = int(begins.min()) - self._origin_ns
        if self._edges[-1] <= earliest_ns:
            return None
        # from the last edge before them on: a long run has many
        first = max(bisect_right(self._edges, earliest_ns) - 1, 0)
        edges = np.array(self._edges[first:], dtype=np.int64) + self._origin_ns
        totals = np.array(self._totals[first:], dtype=np.int64)
        lost = np.interp(ends, edges, totals) - np.interp(begins, edges, totals)
        return lost.astype(np.int64) if lost.any() else None

    def __getstate__(self) -> tuple[bytes, tuple[Pause, ...]]:
        return self._edges.tobytes(), tuple(self.pauses)

    def __setstate__(self, state: tuple[bytes, tuple[Pause, ...]]) -> None:
        Stalls.__init__(self)
        edges, pauses = state
        self._edges.frombytes(edges)
        begins, ends = np.frombuffer(edges, dtype=np.int64).reshape(-1, 2).T
        lengths = ends - begins
        lost_ns = np.cumsum(lengths)
        self._totals = array("q", np.stack((lost_ns - lengths, lost_ns)).T.ravel().tolist())
        self.pauses = list(pauses)

    def __add__(self, other: Stalls) -> Stalls:
        """Return when either generator stood still, and the pauses of both."""
        edges: list[int] = []
        stretches = [*zip(*[iter(self._edges)] * 2, strict=True)]
        stretches += zip(*[iter(other._edges)] * 2, strict=True)
        for begin_ns, end_ns in sorted(stretches):
            if edges and begin_ns <= edges[-1]:
                edges[-1] = max(edges[-1], end_ns)
            else:
                edges += (begin_ns, end_ns)
        merged = Stalls()
        merged.__setstate__(
            (array("q", edges).tobytes(), tuple(sorted([*self.pauses, *other.pauses])))
        )
        return merged


Cell = float | int | None

COUNTS = ("due", "started", "skipped", "acknowledged", "rejected", "indeterminate", "retries")
"""Columns that are given as running totals and kept as increments per second."""

LEVELS = ("in_flight", "uniques")
"""Columns that hold the value at the end of the second."""

FIGURES = ("p50_ms", "p99_ms", "max_ms", "lateness_p99_ms")
"""Columns that describe the samples of the second; None where it had none."""

_NO_SAMPLES: tuple[Sparse, ...] = ((b"", b""), (b"", b""))


class Timeline(Recorded):
    """One row per second since the load began; row ``i`` covers second ``i`` to ``i + 1``.

    If the process stood still for several seconds, the first of them has everything counted since
    the row before, and the others are empty: it was counted before the process stood still.

    Args:
        keeps_samples: Whether to keep the samples behind the percentiles of each second: some
            kilobytes per second, without which timelines cannot be added.
    """

    __slots__ = ("_columns", "_samples", "_totals", "keeps_samples")

    def __init__(self, *, keeps_samples: bool = True) -> None:
        self.keeps_samples = keeps_samples
        self._samples: list[tuple[Sparse, ...]] = []
        self._columns: dict[str, list[Cell]] = {
            "second": [],
            **{name: [] for name in (*COUNTS, *LEVELS, *FIGURES)},
        }
        self._totals = dict.fromkeys(COUNTS, 0)

    def __len__(self) -> int:
        return len(self._columns["second"])

    def close_second(
        self,
        second: int,
        totals: Mapping[str, int],
        levels: Mapping[str, int | None],
        figures: Mapping[str, float | None],
        samples: Sequence[Counts] = (),
    ) -> None:
        """Write the first missing row, and empty ones after it up to that of ``second``.

        Args:
            second: Seconds since the load began.
            totals: Running total of each of :data:`COUNTS`.
            levels: Present value of each of :data:`LEVELS`.
            figures: :data:`FIGURES` of the samples since the last row.
            samples: The times and the lateness since the last row, as bucket counts.
        """
        added = {name: totals[name] - self._totals[name] for name in COUNTS}
        self._totals = {name: totals[name] for name in COUNTS}
        self._append(len(self), added, levels, figures)
        while len(self) <= second:
            self._append(len(self), dict.fromkeys(COUNTS, 0), levels, dict.fromkeys(FIGURES))
        if self.keeps_samples:
            self._samples.append(tuple(pack(counts) for counts in samples) or _NO_SAMPLES)
            self._samples += [_NO_SAMPLES] * (len(self) - len(self._samples))

    def _append(
        self,
        second: int,
        added: Mapping[str, int],
        levels: Mapping[str, int | None],
        figures: Mapping[str, float | None],
    ) -> None:
        self._append_row({"second": second, **added, **levels, **figures})

    def _append_row(self, row: Mapping[str, Cell]) -> None:
        for name, column in self._columns.items():
            column.append(row[name])

    def add_at(self, second: int, gained: Mapping[str, int]) -> None:
        """Count copies in the row of a second, or in the last one that there is."""
        if not len(self):
            self.join((), None)
        row = min(second, len(self) - 1)
        for name, count in gained.items():
            self._columns[name][row] = int(self._columns[name][row] or 0) + count

    def join(
        self, parts: Sequence[tuple[Mapping[str, Cell], tuple[Sparse, ...]]], uniques: int | None
    ) -> None:
        """Append the row of the next second, as several generators report it.

        Args:
            parts: What :meth:`second` returns for each generator that has reached it; if there is
                none, the row has no activity.
            uniques: The users that the service counted last.
        """
        if parts:
            rows, samples = zip(*parts, strict=True)
            row = _joined(rows, samples)
        else:
            row = {
                **dict.fromkeys((*COUNTS, "in_flight"), 0),
                **dict.fromkeys(FIGURES),
            }
        self._append_row({**row, "second": len(self), "uniques": uniques})

    def second(self, second: int) -> tuple[dict[str, Cell], tuple[Sparse, ...]]:
        """Return a row and the samples behind its percentiles."""
        row = {name: column[second] for name, column in self._columns.items()}
        return row, self._samples[second]

    def column(self, name: str) -> Sequence[Cell]:
        """Return one column, a value per second.

        Raises:
            KeyError: There is no such column.
        """
        return self._columns[name]

    def to_json(self) -> dict[str, list[Cell]]:
        """Return the columns by name."""
        return self.since(0)

    def since(self, row: int) -> dict[str, list[Cell]]:
        """Return the columns by name, from a row on."""
        return {name: column[row:] for name, column in self._columns.items()}

    def __getstate__(self) -> tuple[Any, ...]:
        columns = tuple(Settled(column) for column in self._columns.values())
        return columns, Settled(self._samples), self.keeps_samples, tuple(self._totals.values())

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        columns, samples, keeps_samples, totals = state
        Timeline.__init__(self, keeps_samples=keeps_samples)
        self._columns = {
            name: list(column) for name, column in zip(self._columns, columns, strict=True)
        }
        self._samples = list(samples)
        self._totals = dict(zip(COUNTS, totals, strict=True))

    def __add__(self, other: Timeline) -> Timeline:
        """Return the timeline of both, joined by the second since the load began.

        A second that only one of them has reached is taken from it as it is.

        Raises:
            ValueError: One of them did not keep its samples.
        """
        if not (self.keeps_samples and other.keeps_samples):
            raise ValueError("a timeline that kept no samples cannot be added to another")
        merged = Timeline()
        for second in range(max(len(self), len(other))):
            parts = [part.second(second) for part in (self, other) if second < len(part)]
            rows, samples = zip(*parts, strict=True)
            merged._append_row(_joined(rows, samples) if len(parts) > 1 else rows[0])
            merged._samples.append(_sum(samples))
        merged._totals = {name: self._totals[name] + other._totals[name] for name in COUNTS}
        return merged


def _sum(samples: Sequence[tuple[Sparse, ...]]) -> tuple[Sparse, ...]:
    return tuple(pack(_added(column)) for column in zip(*samples, strict=True))


def _added(column: Sequence[Sparse]) -> Counts:
    counts: Counts = np.zeros(layout(SIGNIFICANT_DIGITS).size, dtype=np.uint64)
    for packed in column:
        unpack(packed, counts)
    return counts


def _joined(
    rows: Sequence[Mapping[str, Cell]], samples: Sequence[tuple[Sparse, ...]]
) -> dict[str, Cell]:
    """Return the row of a second from those of several generators."""

    def present(name: str) -> list[float]:
        return [cell for row in rows if (cell := row[name]) is not None]

    times, lateness = (_added(column) for column in zip(*samples, strict=True))
    max_ms = max(present("max_ms"), default=None)
    p50_ms, p99_ms = percentiles_of(times, (50, 99), max_ns=round((max_ms or 0) * 1e6))
    highest_us = layout(SIGNIFICANT_DIGITS).highest_us[np.flatnonzero(lateness)[-1:]]
    latest_ns = int(highest_us[0]) * 1000 if highest_us.size else 0
    (lateness_p99_ms,) = percentiles_of(lateness, (99,), max_ns=latest_ns)
    return {
        "second": rows[0]["second"],
        **{name: sum(present(name)) for name in (*COUNTS, "in_flight")},
        # one process queries for all
        "uniques": max(present("uniques"), default=None),
        "p50_ms": p50_ms,
        "p99_ms": p99_ms,
        "max_ms": max_ms,
        "lateness_p99_ms": lateness_p99_ms,
    }
