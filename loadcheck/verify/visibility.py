"""How long after its acknowledgement a user is counted, as intervals that contain the truth.

The service reports how many users it counts, not which, and users need not become visible in the
order in which they were acknowledged. Still, two bounds are certain. A user that waits longer than
some time is missing from each answer within that time; so if answers are no further apart, it is
missing from at least one of them, and all users that can be missing from those answers, added up,
are the most that waited so long. And if more users were acknowledged some time before an answer
than it counts, the surplus waited at least that time. Counts by bucket in send order bound each
bucket on its own, which is much sharper: in an ungrouped count of a steady load, users that arrive
make up for those that wait. Users that were never counted have an infinite lag.
"""

from __future__ import annotations

import bisect
import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from loadcheck.measure import Recorded
from loadcheck.measure.changes import register
from loadcheck.verify.evidence import Observation

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Ranks = npt.NDArray[np.int64]

_PERCENTILES = {"p50_s": 50.0, "p95_s": 95.0, "p99_s": 99.0, "max_s": 100.0}
_MOST_ANSWERS, _MOST_SPLIT = 500, 150
"""The most answers used, ungrouped and by bucket; of more, every second, third … one."""
_ABSURD = 2**62
_HALVINGS = 24
"""Bisections of the time from first acknowledgement to last answer, to find a bound."""


@register
class AckCurve(Recorded):
    """How many copies had been acknowledged, and how many can have arrived, over time.

    A sum of several curves has a lower and an upper bound at each instant, because each generator
    sampled itself by its own clock.
    """

    __slots__ = ("_columns", "_origin_ns", "_times")

    def __init__(self) -> None:
        self._origin_ns = 0
        self._times = array("q")
        # acknowledged at least and at most, possible, begun
        self._columns = tuple(array("q") for _ in range(4))

    def begin(self, begin_ns: int) -> None:
        """Set the instant at which the load began, before anything is added."""
        self._origin_ns = begin_ns

    def add(
        self, now_ns: int, acknowledged: int, possible: int | None = None, begun: int | None = None
    ) -> None:
        """Add the running totals; while they stand still, only the last instant is moved.

        Args:
            now_ns: The instant.
            acknowledged: Copies acknowledged by then.
            possible: Copies that can have arrived by then: those begun and not refused. None:
                those acknowledged.
            begun: How far the copy numbers of the whole run had come; None: as far as
                ``possible``.
        """
        times, since_ns = self._times, now_ns - self._origin_ns
        possible = acknowledged if possible is None else max(acknowledged, possible)
        begun = possible if begun is None else begun
        still = (acknowledged, acknowledged, possible, begun)
        if len(times) > 1 and times[-1] < since_ns and self._at(-1) == still == self._at(-2):
            times[-1] = since_ns
            return
        times.append(since_ns)
        for column, total in zip(self._columns, still, strict=True):
            column.append(total)

    def _at(self, place: int) -> tuple[int, ...]:
        return tuple(column[place] for column in self._columns)

    def before(self, instant_ns: int) -> int:
        """Return how many copies, at least, were acknowledged by an instant."""
        place = bisect.bisect_right(self._times, instant_ns - self._origin_ns)
        return self._columns[0][place - 1] if place else 0

    def points(self) -> tuple[Ints, Ints, Ints, Ints, Ints]:
        """Return the instants, and the running totals by then.

        The totals are: copies acknowledged at least and at most, copies that can have arrived, and
        how far the copy numbers had come.
        """
        times, *columns = self._ordered()
        low, high, possible, begun = columns
        return times + self._origin_ns, low, high, possible, begun

    def _ordered(self) -> list[Ints]:
        times = np.array(self._times, dtype=np.int64)
        order = np.argsort(times, kind="stable")
        columns = (np.array(column, dtype=np.int64)[order] for column in self._columns)
        return [times[order], *(np.maximum.accumulate(column) for column in columns)]

    def __getstate__(self) -> tuple[bytes, ...]:
        return tuple(column.tobytes() for column in self._ordered())

    def __setstate__(self, state: tuple[bytes, ...]) -> None:
        self._origin_ns = 0
        self._times, *columns = (array("q", column) for column in state)
        self._columns = tuple(columns)

    def blurred(self, error_ns: int) -> AckCurve:
        """Return the curve that holds if its clock may have been off by this time."""
        times, low, *high = self._ordered()
        merged = AckCurve()
        if times.size:
            wide = np.unique(np.concatenate((times - error_ns, times + error_ns)))
            passed = np.searchsorted(times + error_ns, wide, side="right")
            ahead = np.minimum(np.searchsorted(times - error_ns, wide), times.size - 1)
            columns = (
                np.where(passed, low[np.maximum(passed - 1, 0)], 0),
                *(h[ahead] for h in high),
            )
            merged.__setstate__(tuple(column.tobytes() for column in (wide, *columns)))
        return merged

    def __add__(self, other: AckCurve) -> AckCurve:
        both = [
            [np.frombuffer(column, dtype=np.int64) for column in part.__getstate__()]
            for part in (self, other)
        ]
        times = np.unique(np.concatenate([part[0] for part in both]))
        low, high, possible, begun = (np.zeros_like(times) for _ in range(4))
        for instants, *columns in both:
            if instants.size:
                passed = np.searchsorted(instants, times, side="right")
                low += np.where(passed, columns[0][np.maximum(passed - 1, 0)], 0)
                ahead = np.minimum(np.searchsorted(instants, times), instants.size - 1)
                high += columns[1][ahead]
                possible += columns[2][ahead]
                # each goes through the run's numbers at its own pace
                begun = np.maximum(begun, columns[3][ahead])
        merged = AckCurve()
        merged.__setstate__(tuple(held.tobytes() for held in (times, low, high, possible, begun)))
        return merged


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answers:
    """How many users of each group can be missing from each answer.

    Attributes:
        as_of: The answers show the state at or after these instants, in ns, ascending.
        answered: When they were complete.
        missing: The most users missing; a row for each answer, a column for each group.
        start: By group, the instant before which no user was acknowledged.
        end: By group, the instant after which none was.
        users: By group, how many there are.
    """

    as_of: Ints
    answered: Ints
    missing: Floats
    start: Ints
    end: Ints
    users: Ints

    def longer(self, wait_ns: int) -> float:
        """Return how many users, at most, can have waited longer than a time.

        It is the cheapest choice of answers such that every wait of that length contains one:
        consecutive answers are no further apart than the wait.
        """
        groups = self.start.size
        best = np.full((self.as_of.size, groups), np.inf)
        total = np.full(groups, np.inf)
        first = 0
        for at in range(self.as_of.size):
            while self.as_of[first] < self.answered[at] - wait_ns:
                first += 1
                if first >= at:
                    break
            first = min(first, at)
            reach = np.min(best[first:at], axis=0) if first < at else np.full(groups, np.inf)
            # before the first acknowledgement an answer costs nothing, and no user waits yet
            reach = np.where(self.answered[at] <= self.start + wait_ns, 0.0, reach)
            best[at] = self.missing[at] + reach
            total = np.where(self.as_of[at] >= self.end, np.minimum(total, best[at]), total)
        return float(np.minimum(total, self.users).sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class Visibility:
    """What is known about the distribution of the visibility lag.

    Attributes:
        acknowledged: Acknowledged users, which are its samples.
        never: Users that were not counted by the last observation.
    """

    acknowledged: int
    never: int
    _proven: int = field(repr=False)
    _answers: tuple[_Answers, ...] = field(repr=False)
    _lost: int = field(repr=False)
    _counted: Ints = field(repr=False)
    _as_of: Ints = field(repr=False)
    _times: Ints = field(repr=False)
    _totals: Ints = field(repr=False)

    def percentile_s(self, percentile: float, *, lower: bool = False) -> float | None:
        """Return a bound of a percentile; infinity if never visible, None without samples."""
        if not self.acknowledged:
            return None
        rank = max(1, math.ceil(round(percentile * self.acknowledged / 100, 6)))
        if rank > self.acknowledged - self._proven:
            return math.inf
        least_s, counted = self._at_least_s(rank), rank <= self.acknowledged - self.never
        if lower:
            return 0.0 if counted and self._shorter(rank, least_s) else least_s
        most_s = self._at_most_s(rank) if counted else math.inf
        return math.inf if least_s > most_s else most_s

    def _shorter(self, rank: int, wait_s: float) -> bool:
        """Return whether answers contradict each other: the upper bound is below the lower one."""
        wait_ns, allowed = int(wait_s * 1e9) - 1000, self.acknowledged - rank - self._lost
        return wait_ns > 0 and any(each.longer(wait_ns) <= allowed for each in self._answers)

    def _at_most_s(self, rank: int) -> float:
        """Return the longest that the user of a rank can have waited."""
        allowed = self.acknowledged - rank - self._lost
        return min(
            (_shortest_s(answers, allowed) for answers in self._answers),
            default=math.inf,
        )

    def _at_least_s(self, rank: int) -> float:
        """Return how long the user of a rank has certainly waited.

        Of those acknowledged by some instant, all but the counted are missing from an answer; if
        they are more than the ranks above, one of them is the user of that rank.
        """
        needed = self._counted + (self.acknowledged - rank + 1)
        place = np.searchsorted(self._totals, needed, side="left")
        known = place < self._totals.size
        if not known.any():
            return 0.0
        waited = self._as_of[known] - self._times[place[known]]
        return max(0.0, float(waited.max()) / 1e9)

    def to_json(self) -> dict[str, Any]:
        """Return the figures as the results file holds them; null where a lag is infinite."""
        uppers, lowers = (
            {
                name: self.percentile_s(percentile, lower=lower)
                for name, percentile in _PERCENTILES.items()
            }
            for lower in (False, True)
        )
        widths = [
            high - low
            for high, low in zip(uppers.values(), lowers.values(), strict=True)
            if high is not None and low is not None and math.isfinite(high)
        ]
        return {
            **{name: _finite(value) for name, value in uppers.items()},
            "lower": {name: _finite(value) for name, value in lowers.items()},
            "resolution_s": _finite(max(widths, default=None)),
            "never": self.never,
            "samples": self.acknowledged,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCounts:
    """One answer: users counted by bucket in send order.

    Attributes:
        as_of_ns: The answer shows the state at or after this instant.
        answered_ns: When it was complete.
        counts: Users by bucket.
    """

    as_of_ns: int
    answered_ns: int
    counts: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class SendOrder:
    """Counts by bucket in send order, and the numbers of copies to compare them with.

    Attributes:
        answers: The counts, in order.
        first: By bucket, the number of its first copy.
        acknowledged: By bucket, the copies acknowledged.
        possible: By bucket, the copies that can have arrived.
        lost: By bucket, the acknowledged ones that are known to be lost.
    """

    answers: Sequence[OrderCounts]
    first: Ints
    acknowledged: Ints
    possible: Ints
    lost: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownLosses:
    """Users that are known to be lost: they never become visible, other uncounted users may.

    Attributes:
        ranks: Their ranks in the order of acknowledgement, from 1, ascending, by which they are
            left out where the others' waits are bounded. None if not known.
        number: How many users are lost, whether or not it is known which.
    """

    ranks: Ranks | None = None
    number: int = 0


_NO_LOSSES = KnownLosses()


def visibility(
    acks: AckCurve,
    observations: Sequence[Observation],
    *,
    acknowledged: int,
    baseline: int = 0,
    lost: KnownLosses = _NO_LOSSES,
    order: SendOrder | None = None,
) -> Visibility | None:
    """Return the lag's distribution; None if no observation is evidence.

    Args:
        acks: When the copies were acknowledged.
        observations: What the service counted, in order.
        acknowledged: Copies acknowledged in all.
        baseline: What the service counted before the run.
        lost: Acknowledged copies that are known to be lost.
        order: What was counted by bucket in send order; None if not queried.
    """
    good = [seen for seen in observations if seen.uniques is not None]
    if not good:
        return None
    good.sort(key=lambda seen: seen.as_of_ns)
    # an absurd count must not overflow
    counted = [min(max(0, (seen.uniques or 0) - baseline), _ABSURD) for seen in good]
    counts = np.array(counted, dtype=np.int64)
    as_of = np.array([seen.as_of_ns for seen in good], dtype=np.int64)
    answered = np.maximum.accumulate(np.array([seen.answered_ns for seen in good], dtype=np.int64))
    times, totals, at_most, possible, begun = acks.points()
    known_lost = 0 if lost.ranks is None else int(lost.ranks.size)
    # a user is visible once it stays counted: being counted only for a while is not enough
    stable = np.minimum.accumulate(counts[::-1])[::-1]
    never = min(acknowledged, max(acknowledged - int(stable[-1]), known_lost))
    answers = []
    if times.size and acknowledged and totals[-1]:
        missing = _missing(times, at_most, possible, as_of, answered, stable)
        if lost.ranks is not None:
            missing -= _known_lost(lost.ranks, times, totals, possible, as_of)
        chosen = _thinned(as_of.size, _MOST_ANSWERS)
        before = max(0, int(np.searchsorted(at_most, 1, side="left")) - 1)
        span = times[[before]], times[[np.searchsorted(totals, totals[-1], side="left")]]
        answers.append(
            _Answers(
                as_of=as_of[chosen],
                answered=answered[chosen],
                missing=np.maximum(missing, 0).astype(np.float64)[chosen, np.newaxis],
                start=span[0],
                end=span[1],
                users=np.array([acknowledged - known_lost]),
            )
        )
        if order is not None and order.answers and bool(known_lost) == bool(order.lost.any()):
            answers.append(_in_order(order, times, begun, span))
    return Visibility(
        acknowledged=acknowledged,
        never=never,
        _proven=min(acknowledged, max(lost.number, known_lost)),
        _answers=tuple(answers),
        _lost=known_lost,
        _counted=counts,
        _as_of=as_of,
        _times=times,
        _totals=totals,
    )


def _in_order(order: SendOrder, times: Ints, begun: Ints, span: tuple[Ints, Ints]) -> _Answers:
    """Return how many users of each bucket in send order can be missing from each answer."""
    used = np.flatnonzero(order.acknowledged - order.lost > 0)
    answers = [order.answers[at] for at in _thinned(len(order.answers), _MOST_SPLIT)]
    answers.sort(key=lambda answer: answer.as_of_ns)
    counts = np.array([answer.counts[used] for answer in answers], dtype=np.int64)
    stable = np.minimum.accumulate(counts[::-1], axis=0)[::-1]
    lost = order.lost[used]
    missing = np.minimum(
        order.acknowledged[used] - lost, np.maximum(order.possible[used] - lost - stable, 0)
    )
    # copies begin in the order of their numbers: none of a bucket begins before its first
    last_before = np.searchsorted(begun, order.first[used], side="right") - 1
    start = np.maximum(span[0][0], times[np.maximum(last_before, 0)])
    answered = np.array([answer.answered_ns for answer in answers], dtype=np.int64)
    return _Answers(
        as_of=np.array([answer.as_of_ns for answer in answers], dtype=np.int64),
        answered=np.maximum.accumulate(answered),
        missing=missing.astype(np.float64),
        start=start,
        end=np.full(start.size, span[1][0]),
        users=order.acknowledged[used] - lost,
    )


def _missing(
    times: Ints, totals: Ints, possible: Ints, as_of: Ints, answered: Ints, counts: Ints
) -> Ints:
    """Return how many acknowledged users, at most, each answer can lack.

    A user that it counts may be one that is not acknowledged yet, as long as there are any.
    """
    last = times.size - 1
    acked = totals[np.minimum(np.searchsorted(times, as_of, side="left"), last)]
    arrived = possible[np.minimum(np.searchsorted(times, answered, side="left"), last)]
    missing: Ints = np.minimum(acked, np.maximum(arrived - counts, 0))
    return missing


def _known_lost(lost: Ranks, times: Ints, totals: Ints, possible: Ints, as_of: Ints) -> Ints:
    """Return how many of the lost were certainly acknowledged by each instant.

    Copies are acknowledged in the order of their numbers, except for those in flight together.
    """
    place = np.searchsorted(times, as_of, side="right") - 1
    known = np.where(place >= 0, 2 * totals[np.maximum(place, 0)] - possible[place], 0)
    known = np.where(place >= totals.size - 1, totals[-1], known)
    found: Ints = np.searchsorted(lost, known, side="right").astype(np.int64)
    return found


def _thinned(size: int, most: int) -> Ints:
    """Return the indices of the answers to use; the last is always among them."""
    step = -(-size // most)
    return np.arange(size - 1, -1, -step, dtype=np.int64)[::-1]


def _shortest_s(answers: _Answers, allowed: int) -> float:
    """Return the shortest time, in seconds, that at most ``allowed`` users can have exceeded."""
    high = int(answers.answered[-1] - answers.start.min())
    if allowed < 0 or answers.longer(high) > allowed:
        return math.inf
    low = 0
    if answers.longer(low) <= allowed:
        return 0.0
    for _ in range(_HALVINGS):
        middle = (low + high) // 2
        if answers.longer(middle) <= allowed:
            high = middle
        else:
            low = middle
    return high / 1e9


def _finite(value: float | None) -> float | None:
    return None if value is None or math.isinf(value) else round(value, 4)
