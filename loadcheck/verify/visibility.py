"""How long after its acknowledgement a user is counted, from two curves.

The service tells how many users it counts, not which. The k-th user acknowledged is taken to be
visible once k users are counted; whatever the order in which they really become visible, the mean
is the same. A lag is known to lie between two bounds: at the last answer with fewer than k users it
was not over, at the next one it was. Percentiles are those of the upper bounds. Users that were
never counted have an infinite lag.
"""

from __future__ import annotations

import bisect
import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from loadcheck.measure.recorded import Recorded
from loadcheck.verify.observe import Observation

Floats = npt.NDArray[np.float64]
Ranks = npt.NDArray[np.int64]

_PERCENTILES = {"p50_s": 50.0, "p95_s": 95.0, "p99_s": 99.0, "max_s": 100.0}


class AckCurve(Recorded):
    """How many copies had been acknowledged at which instant.

    Of the sum of several curves it is known at each instant how many there were at least and at
    most: each was looked at by its own clock.
    """

    __slots__ = ("_at_least", "_at_most", "_origin_ns", "_times")

    def __init__(self) -> None:
        self._origin_ns = 0
        self._times = array("q")
        self._at_least = array("q")
        self._at_most = self._at_least

    def begin(self, begin_ns: int) -> None:
        """Note when the load began, before anything is added."""
        self._origin_ns = begin_ns

    def add(self, now_ns: int, acknowledged: int) -> None:
        """Note the running total; an unchanged one moves the last instant of standing still."""
        counts, times = self._at_least, self._times
        if len(counts) > 1 and counts[-1] == acknowledged == counts[-2]:
            times[-1] = now_ns - self._origin_ns
            return
        times.append(now_ns - self._origin_ns)
        counts.append(acknowledged)

    def before(self, instant_ns: int) -> int:
        """Return how many were acknowledged by an instant, at least."""
        place = bisect.bisect_right(self._times, instant_ns - self._origin_ns)
        return self._at_least[place - 1] if place else 0

    def points(self) -> tuple[Ranks, Ranks, Ranks]:
        """Return instants, and how many were acknowledged by then at least and at most."""
        times = np.array(self._times, dtype=np.int64) + self._origin_ns
        at_least, at_most = (
            np.array(counts, dtype=np.int64) for counts in (self._at_least, self._at_most)
        )
        return times, at_least, at_most

    def __getstate__(self) -> tuple[bytes, ...]:
        return tuple(held.tobytes() for held in (self._times, self._at_least, self._at_most))

    def __setstate__(self, state: tuple[bytes, ...]) -> None:
        self._origin_ns = 0
        self._times, self._at_least, self._at_most = (array("q", held) for held in state)

    def __add__(self, other: AckCurve) -> AckCurve:
        both = [
            [np.frombuffer(held, dtype=np.int64) for held in part.__getstate__()]
            for part in (self, other)
        ]
        times = np.unique(np.concatenate([instants for instants, _, _ in both]))
        at_least, at_most = np.zeros_like(times), np.zeros_like(times)
        for instants, low, high in both:
            if instants.size:
                places = np.searchsorted(instants, times, side="right")
                at_least += np.where(places, low[np.maximum(places - 1, 0)], 0)
                places = np.searchsorted(instants, times, side="left")
                at_most += high[np.minimum(places, instants.size - 1)]
        merged = AckCurve()
        merged._times, merged._at_least, merged._at_most = (
            array("q", held.tolist()) for held in (times, at_least, at_most)
        )
        return merged


@dataclass(frozen=True, slots=True, kw_only=True)
class Visibility:
    """The distribution of the visibility lag, in seconds.

    Attributes:
        acknowledged: Users that it is about.
        never: Those that were not counted by the last observation.
        resolution_s: No lag is known better than this; None if none is known.
        upper, lower, users: Bounds of the lag, and how many users have them.
    """

    acknowledged: int
    never: int
    resolution_s: float | None
    upper: Floats
    lower: Floats
    users: Floats

    def percentile_s(self, percentile: float, *, lower: bool = False) -> float | None:
        """Return the given percentile of the lag; infinity, or None without samples."""
        if not self.acknowledged:
            return None
        lags = self.lower if lower else self.upper
        order = np.argsort(lags, kind="stable")
        reached = np.cumsum(self.users[order])
        rank = max(1, math.ceil(round(percentile * self.acknowledged / 100, 6)))
        place = int(np.searchsorted(reached, rank))
        return float(lags[order[place]]) if place < lags.size else math.inf

    def to_json(self) -> dict[str, Any]:
        """Return the figures as the results file holds them; null where a lag is infinite."""

        def figures(*, lower: bool) -> dict[str, float | None]:
            return {
                name: _finite(self.percentile_s(percentile, lower=lower))
                for name, percentile in _PERCENTILES.items()
            }

        return {
            **figures(lower=False),
            "lower": figures(lower=True),
            "resolution_s": _finite(self.resolution_s),
            "never": self.never,
            "samples": self.acknowledged,
        }


def visibility(
    acks: AckCurve,
    observations: Sequence[Observation],
    *,
    acknowledged: int,
    baseline: int = 0,
    lost: Ranks | None = None,
) -> Visibility | None:
    """Return the lag's distribution; None if no observation is evidence.

    Args:
        acks: When the copies were acknowledged.
        observations: What the service counted, in order.
        acknowledged: Copies acknowledged in all.
        baseline: What it counted before the run.
        lost: Which of them are known to be lost, as places in the order of acknowledgement from 1,
            ascending. Nobody is matched with them: whoever comes after a lost user would seem to
            have waited for the next one.
    """
    good = [seen for seen in observations if seen.uniques is not None]
    if not good:
        return None
    counts = np.array([seen.uniques for seen in good], dtype=np.int64) - baseline
    # users counted beyond the acknowledged ones arrived without an answer: count them as early
    arriving = acknowledged - (0 if lost is None else lost.size)
    surplus = max(0, int(counts[-1]) - arriving)
    # a user is visible from the last time on that it was not: what is seen only for a while is not
    stable = np.minimum.accumulate(np.maximum(counts - surplus, 0)[::-1])[::-1]
    stable = np.minimum(stable, arriving)
    times, at_least, at_most = acks.points()
    if lost is not None:
        at_least = at_least - np.searchsorted(lost, at_least, side="right")
        at_most = at_most - np.searchsorted(lost, at_most, side="right")
    final = int(stable[-1])
    marks = np.unique(np.concatenate((at_least, at_most, stable, [0, final])))
    marks = marks[marks <= final]
    ranks = marks[1:]
    users = np.diff(marks).astype(np.float64)
    if times.size == 0 or ranks.size == 0:
        never = acknowledged - final
        empty = np.empty(0)
        return Visibility(
            acknowledged=acknowledged,
            never=never,
            resolution_s=None,
            upper=empty,
            lower=empty,
            users=empty,
        )
    after = np.minimum(np.searchsorted(at_least, ranks, side="left"), times.size - 1)
    before = np.minimum(np.searchsorted(at_most, ranks, side="left"), times.size - 1)
    known_late, known_early = times[after], times[np.maximum(before - 1, 0)]
    present = np.searchsorted(stable, ranks, side="left")
    answered = np.array([seen.answered_ns for seen in good], dtype=np.int64)
    as_of = np.array([seen.as_of_ns for seen in good], dtype=np.int64)
    upper = np.maximum(answered[present] - known_early, 0) / 1e9
    absent = np.where(present > 0, as_of[np.maximum(present - 1, 0)], 0)
    lower = np.maximum(absent - known_late, 0) / 1e9
    return Visibility(
        acknowledged=acknowledged,
        never=acknowledged - final,
        resolution_s=float((upper - lower).max()),
        upper=upper,
        lower=lower,
        users=users,
    )


def _finite(value: float | None) -> float | None:
    return None if value is None or math.isinf(value) else round(value, 4)
