"""The intervals that a run is cut into."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from loadcheck.measure import Ledger, Recorded, Sparse, pack, unpack

MOST_INTERVALS = 300
"""The most intervals: few enough for a small results file, whatever the length of the run."""

_FEW = 30
"""The most intervals of less than a second: enough for statistics, and each holds something."""
_SHORT_S = (0.1, 0.2, 0.5)
_WIDTHS_S = (1, 2, 3, 5, 6, 10, 12, 15, 20, 30, 60, 120, 180, 300, 600, 900, 1800, 3600)
_ROUNDING = 1e-9
_NEVER = 1 << 62
_SECOND_NS = 1_000_000_000

Instants = npt.NDArray[np.int64]


class Grid(Recorded):
    """The intervals of a load, by the instants at which copies were due.

    An interval holds what belongs to the copies that fell due in it, however late their responses
    come; a query that no copy makes belongs to the interval in which it was sent. So the intervals
    of a stage together make up the stage.

    Each stretch of the load is cut into equal intervals, at least one, of a second or as much more
    as keeps their number within :data:`MOST_INTERVALS`. Those of a load of up to 15 s are shorter.
    A load of unknown length begins with an eighth of a second; whenever there are too many
    intervals, they are merged in pairs.

    Args:
        stretches_s: Lengths of the load's stages; none if its length is unknown.

    Attributes:
        next_ns: Monotonic instant; the first copy that falls due from then on is to be passed to
            :meth:`enter`.
        doublings: How often intervals have been merged in pairs.
    """

    __slots__ = (
        "_edges",
        "_ended",
        "_entered",
        "_firsts",
        "_has_begun",
        "_length_ns",
        "_origin_ns",
        "_width_ns",
        "doublings",
        "next_ns",
    )

    def __init__(self, stretches_s: Sequence[float] = ()) -> None:
        self._edges = _edges(stretches_s)
        self._width_ns = _SECOND_NS // 8
        self._origin_ns = self._length_ns = 0
        self._has_begun = False
        self._entered = 0
        self._firsts: list[int] = []
        self._ended: list[tuple[int, ...]] = []
        self.next_ns = _NEVER
        self.doublings = 0

    @property
    def capacity(self) -> int:
        """The most intervals that there can be."""
        return MOST_INTERVALS if self._edges is None else self._edges.size - 1

    def begin(self, begin_ns: int) -> None:
        """Note when the load began, before its first copy is due."""
        self._origin_ns = self.next_ns = begin_ns
        self._has_begun = True

    def end(self, end_ns: int) -> None:
        """Note when the load ended: what is sent later belongs to no interval."""
        length_ns = end_ns - self._origin_ns
        self._length_ns = max(length_ns, 1)
        self.next_ns = _NEVER
        if self._edges is None:
            self._reach(length_ns - 1)
            while self._width_ns < _SECOND_NS and length_ns > _FEW * self._width_ns:
                self._double()

    @property
    def is_open(self) -> bool:
        """Whether the load has begun and not ended."""
        return self._has_begun and not self._length_ns

    def places(self, instants: Instants) -> Instants:
        """Return the interval of each monotonic instant; -1 for those outside the load."""
        since = instants - self._origin_ns
        if not self._origin_ns:
            return np.full_like(instants, -1)
        if self._edges is not None:
            places = np.searchsorted(self._edges, since, side="right") - 1
            return np.where(places < self.capacity, places, -1).astype(np.int64)
        inside = since >= 0
        if self._length_ns:
            inside &= since < self._length_ns
        if inside.any():
            self._reach(int(since[inside].max()))
        return np.where(inside, since // self._width_ns, -1)

    def _reach(self, since_ns: int) -> None:
        while since_ns >= self._width_ns * MOST_INTERVALS:
            self._double()

    def _double(self) -> None:
        self._width_ns *= 2
        self.doublings += 1
        self._entered = -(-self._entered // 2)
        self._firsts = self._firsts[::2]
        self._ended.clear()

    def enter(self, number: int, due_ns: int) -> None:
        """Note the first copy that falls due at or after :attr:`next_ns`; numbers ascend."""
        place = int(self.places(np.array([due_ns], dtype=np.int64))[0])
        if place < 0:
            return
        while len(self._firsts) <= place:
            self._firsts.append(number)
        self._entered = len(self._firsts)
        self.next_ns = self._origin_ns + self._edge_ns(place + 1)

    def _edge_ns(self, index: int) -> int:
        return self._width_ns * index if self._edges is None else int(self._edges[index])

    def edges_s(self) -> list[float]:
        """Return where the intervals begin and the last one ends, in seconds since the load began.

        A load that was stopped early has only the intervals that it reached, and the last of them
        ends with the load.
        """
        if not self._has_begun:
            return []
        length_ns = self._length_ns or _NEVER
        edges = [0]
        for index in range(1, self.capacity + 1):
            if edges[-1] >= length_ns or (not self._length_ns and index > self._entered):
                break
            edges.append(self._edge_ns(index))
        edges[-1] = min(edges[-1], length_ns)
        return [edge / 1e9 for edge in edges]

    def outcomes(self, ledger: Ledger, due: int) -> OutcomeCounts:
        """Return how many copies fell due in each interval and what became of them.

        Within one process copies fall due in the order of their numbers. Processes that share a
        schedule each count by their own numbers, and their counts are added up.

        Args:
            ledger: The outcomes of this process's copies; the same ledger each time. Intervals
                whose copies have all ended are counted only once.
            due: Copies of this process that have fallen due.
        """
        present = Grid()
        present.__setstate__(self.__getstate__())
        counts = OutcomeCounts(present)
        number = min(self.capacity, len(self._firsts))
        table, ended = counts.table, len(self._ended)
        if ended:
            table[:, :ended] = np.transpose(self._ended)
        edges = [*self._firsts, due][ended : number + 1]
        for place, (first, last) in enumerate(itertools.pairwise(edges), ended):
            found = [getattr(ledger, name).range_cardinality(first, last) for name in _COLUMNS[1:]]
            table[:, place] = (last - first, *found)
            if place == len(self._ended) < number - 1 and last - first == sum(found[1:]):
                self._ended.append((last - first, *found))
        return counts

    def __getstate__(self) -> tuple[Any, ...]:
        edges = None if self._edges is None else self._edges.tobytes()
        held = (self._width_ns, self._length_ns, self._has_begun, self._entered, self.doublings)
        return (edges, *held)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        Grid.__init__(self)
        edges, *held = state
        self._edges = None if edges is None else np.frombuffer(edges, dtype=np.int64)
        self._width_ns, self._length_ns, self._has_begun, self._entered, self.doublings = held

    def __add__(self, other: Grid) -> Grid:
        """Return the intervals of both.

        A load of unknown length has the wider intervals of the two; it is open as long as one is.

        Raises:
            ValueError: They are intervals of different schedules.
        """
        edges = self.__getstate__()[0]
        if edges != other.__getstate__()[0]:
            raise ValueError("intervals of different schedules do not merge")
        finer, merged = sorted((self, other), key=lambda grid: grid.doublings)
        entered = -(-finer._entered // (1 << (merged.doublings - finer.doublings)))
        grid = Grid()
        grid.__setstate__(
            (
                edges,
                merged._width_ns,
                0 if self.is_open or other.is_open else max(self._length_ns, other._length_ns),
                self._has_begun or other._has_begun,
                max(entered, merged._entered),
                merged.doublings,
            )
        )
        return grid


_COLUMNS = ("due", "started", "skipped", "acknowledged", "rejected", "indeterminate")


def coarsen(table: npt.NDArray[Any], doublings: int) -> npt.NDArray[Any]:
    """Return a table whose last axis is intervals, with these merged in pairs this many times."""
    for _ in range(doublings):
        pairs = table[..., 0::2] + table[..., 1::2]
        table = np.concatenate((pairs, np.zeros_like(pairs)), axis=-1)
    return table


class OutcomeCounts(Recorded):
    """How many copies fell due in each interval and what became of them.

    Attributes:
        table: A row for each count by name, a column for each interval that there can be.
    """

    __slots__ = ("_grid", "table")

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self.table = np.zeros((len(_COLUMNS), grid.capacity), dtype=np.int64)

    def add_at(self, since_begin_ns: int, gained: Mapping[str, int]) -> None:
        """Count copies in the interval of an instant, or in the last one that there is."""
        edges_s = self._grid.edges_s()
        place = int(np.searchsorted(edges_s, since_begin_ns / 1e9, side="right")) - 1
        place = max(0, min(place, len(edges_s) - 2))
        for name, count in gained.items():
            self.table[_COLUMNS.index(name), place] += count

    def columns(self) -> dict[str, list[int]]:
        """Return the counts of the intervals that there are, by name."""
        number = max(len(self._grid.edges_s()) - 1, 0)
        return {
            name: [int(count) for count in row[:number]]
            for name, row in zip(_COLUMNS, self.table, strict=True)
        }

    def __getstate__(self) -> tuple[Grid, Sparse]:
        return self._grid, pack(self.table.reshape(-1))

    def __setstate__(self, state: tuple[Grid, Sparse]) -> None:
        grid, packed = state
        OutcomeCounts.__init__(self, grid)
        unpack(packed, self.table.reshape(-1))

    def __add__(self, other: OutcomeCounts) -> OutcomeCounts:
        merged = OutcomeCounts(self._grid + other._grid)
        for part in (self, other):
            merged.table += coarsen(part.table, merged._grid.doublings - part._grid.doublings)
        return merged


def _edges(stretches_s: Sequence[float]) -> Instants | None:
    """Return the edges of equal intervals within each stretch, in ns; None without stretches."""
    if not stretches_s:
        return None
    width_s = _width_s(stretches_s)
    edges = [0]
    end_s = 0.0
    for length_s in stretches_s:
        end_s += length_s
        begin_ns, end_ns = edges[-1], round(end_s * 1e9)
        pieces = _pieces(length_s, width_s)
        edges += [begin_ns + (end_ns - begin_ns) * i // pieces for i in range(1, pieces + 1)]
    return np.array(edges, dtype=np.int64)


def _width_s(stretches_s: Sequence[float]) -> float:
    for most, widths_s in ((_FEW, _SHORT_S), (MOST_INTERVALS, _WIDTHS_S)):
        for width_s in widths_s:
            if sum(_pieces(length_s, width_s) for length_s in stretches_s) <= most:
                return width_s
    return sum(stretches_s) / max(MOST_INTERVALS - len(stretches_s), 1)


def _pieces(length_s: float, width_s: float) -> int:
    return max(1, math.ceil(length_s / width_s - _ROUNDING))
