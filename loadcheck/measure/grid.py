"""The intervals that a run is cut into."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from loadcheck.measure.ledger import Ledger

MOST_INTERVALS = 300
"""So many keep a results file small, whatever the length of the run."""

_FEW = 30
"""Of less than a second: enough for statistics, and each holds something."""
_SHORT_S = (0.1, 0.2, 0.5)
_WIDTHS_S = (1, 2, 3, 5, 6, 10, 12, 15, 20, 30, 60, 120, 180, 300, 600, 900, 1800, 3600)
_ROUNDING = 1e-9
_NEVER = 1 << 62
_SECOND_NS = 1_000_000_000

Instants = npt.NDArray[np.int64]


class Grid:
    """Intervals of the instant at which copies were due.

    An interval holds what belongs to the copies that fell due in it, however late their answers
    come; of a query that is no copy's, the instant at which it was sent takes the due one's place.
    So the intervals of a stage together are the stage.

    Each stretch of the load is cut into equal intervals of a second or as much longer as keeps
    their number at :data:`MOST_INTERVALS`; each has one at the least. Those of a load of less than
    15 s are shorter. A load of unknown length begins with an eighth of a second; when there are too
    many intervals, each two become one.

    Args:
        stretches_s: Lengths of the load's stages; none if its length is unknown.

    Attributes:
        next_ns: Monotonic instant from which on a copy that falls due is to be told to
            :meth:`enter`.
        doublings: How often each two intervals have become one.
    """

    __slots__ = ("_begin_ns", "_edges", "_end_ns", "_firsts", "_width_ns", "doublings", "next_ns")

    def __init__(self, stretches_s: Sequence[float] = ()) -> None:
        self._edges = _edges(stretches_s)
        self._width_ns = _SECOND_NS // 8
        self._begin_ns = self._end_ns = 0
        self._firsts: list[int] = []
        self.next_ns = _NEVER
        self.doublings = 0

    @property
    def capacity(self) -> int:
        """The most intervals that there can be."""
        return MOST_INTERVALS if self._edges is None else self._edges.size - 1

    def begin(self, begin_ns: int) -> None:
        """Note when the load began, before its first copy is due."""
        self._begin_ns = self.next_ns = begin_ns

    def end(self, end_ns: int) -> None:
        """Note when the load ended: what is sent later belongs to no interval."""
        self._end_ns = end_ns
        self.next_ns = _NEVER
        if self._edges is None:
            length_ns = end_ns - self._begin_ns
            self._reach(length_ns - 1)
            while self._width_ns < _SECOND_NS and length_ns > _FEW * self._width_ns:
                self._double()

    def places(self, instants: Instants) -> Instants:
        """Return the interval of each monotonic instant; -1 for those outside of the load."""
        since = instants - self._begin_ns
        if not self._begin_ns:
            return np.full_like(instants, -1)
        if self._edges is not None:
            places = np.searchsorted(self._edges, since, side="right") - 1
            return np.where(places < self.capacity, places, -1).astype(np.int64)
        inside = since >= 0
        if self._end_ns:
            inside &= instants < self._end_ns
        if inside.any():
            self._reach(int(since[inside].max()))
        return np.where(inside, since // self._width_ns, -1)

    def _reach(self, since_ns: int) -> None:
        while since_ns >= self._width_ns * MOST_INTERVALS:
            self._double()

    def _double(self) -> None:
        self._width_ns *= 2
        self.doublings += 1
        self._firsts = self._firsts[::2]

    def enter(self, number: int, due_ns: int) -> None:
        """Note the first copy that falls due at or after :attr:`next_ns`; numbers go up."""
        place = int(self.places(np.array([due_ns], dtype=np.int64))[0])
        if place < 0:
            return
        while len(self._firsts) <= place:
            self._firsts.append(number)
        self.next_ns = self._begin_ns + self._edge_ns(place + 1)

    def _edge_ns(self, index: int) -> int:
        return self._width_ns * index if self._edges is None else int(self._edges[index])

    def edges_s(self) -> list[float]:
        """Return where the intervals begin and the last one ends, in seconds since the load began.

        Of a load that was stopped early only what it came to; a load of unknown length ends where
        it ended.
        """
        if not self._begin_ns:
            return []
        length_ns = max(self._end_ns - self._begin_ns, 1) if self._end_ns else _NEVER
        edges = [0]
        for index in range(1, self.capacity + 1):
            if edges[-1] >= length_ns or (not self._end_ns and index > len(self._firsts)):
                break
            edges.append(self._edge_ns(index))
        edges[-1] = min(edges[-1], length_ns)
        return [edge / 1e9 for edge in edges]

    def counts(self, ledger: Ledger, due: int) -> dict[str, list[int]]:
        """Return how many copies fell due in each interval and what became of them.

        Args:
            ledger: Which copies have which outcome.
            due: Copies that have fallen due in all.
        """
        number = max(len(self.edges_s()) - 1, 0)
        firsts = [*self._firsts, *([due] * (number + 1 - len(self._firsts)))]
        spans = list(zip(firsts, [*firsts[1:], due], strict=True))[:number]
        columns = ("started", "skipped", "acknowledged", "rejected", "indeterminate")
        return {
            "due": [last - first for first, last in spans],
            **{
                name: [getattr(ledger, name).range_cardinality(*span) for span in spans]
                for name in columns
            },
        }


def _edges(stretches_s: Sequence[float]) -> Instants | None:
    """Return the ends of equal intervals within each stretch, in nanoseconds."""
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
