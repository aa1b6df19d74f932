"""When the generator itself stood still: stopped, suspended, without a processor, or busy.

What an answer waited for our own process is no time of the target's. Stalls are known as stretches
of time in which the event loop should have had its turn and had not; of every latency the part that
lies in them may be our own, so a latency is an interval.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from loadcheck.measure.recorded import Recorded

PAUSE_NS = 500_000_000
"""A stall of so long is a pause: it is named, and what fell due in it is skipped.

What fell due in a shorter one is started late, a little faster than at the schedule's peak rate.
"""
RESOLUTION_NS = 1_000_000
"""Timers of the event loop are good to a millisecond: what is below that is no stall."""
_MOST_EDGES = 1 << 16

Instants = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Pause:
    """A long stall.

    Attributes:
        at_ns: When it began, since the load did.
        length_ns: How long it lasted.
        suspended: Whether the whole machine slept: then nothing fell due meanwhile.
    """

    at_ns: int
    length_ns: int
    suspended: bool = False


class Stalls(Recorded):
    """Stretches of time in which the process did not run when it should have.

    Attributes:
        next_turn_ns: When the event loop is to have its next turn at the latest; 0: not known.
        pauses: The long ones, in order.
    """

    __slots__ = ("_edges", "_origin_ns", "_totals", "next_turn_ns", "pauses")

    def __init__(self) -> None:
        # begin and end of each in turn, and the time lost up to there
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
        """Enter a stretch that has just ended; it may overlap with earlier ones."""
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
            # of a latency that began before these, less is known to be ours
            del edges[: _MOST_EDGES // 2], totals[: _MOST_EDGES // 2]

    def suspended(self, at_ns: int, length_ns: int) -> None:
        """Enter a sleep of the whole machine, of which the monotonic clock knows nothing."""
        at_ns -= self._origin_ns
        self.pauses.append(Pause(at_ns=at_ns, length_ns=length_ns, suspended=True))

    def within(self, begins: Instants, ends: Instants) -> Instants | None:
        """Return how much of each stretch from ``begins`` to ``ends`` was lost to stalls, in ns.

        None stands for nothing of any: almost always, and it saves working it out.
        """
        latest_ns = int(ends.max())
        if 0 < self.next_turn_ns < latest_ns - RESOLUTION_NS:
            # what the loop read first after a stall may be looked at before anybody noticed it
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

    def __getstate__(self) -> tuple[tuple[int, ...], tuple[Pause, ...]]:
        return tuple(self._edges), tuple(self.pauses)

    def __setstate__(self, state: tuple[tuple[int, ...], tuple[Pause, ...]]) -> None:
        Stalls.__init__(self)
        edges, pauses = state
        self._edges = array("q", edges)
        lengths = np.array(edges[1::2], dtype=np.int64) - np.array(edges[0::2], dtype=np.int64)
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
        merged.__setstate__((tuple(edges), tuple(sorted([*self.pauses, *other.pauses]))))
        return merged
