"""When each copy is due, and how many connections a load should find open. Pure arithmetic.

The schedule is fixed before the first copy starts, from the scenario and the seed alone, so a late
start never moves a later one (G. Tene's coordinated omission), and the number of copies is known
and repeatable.

Opening a connection takes round trips and, with TLS, milliseconds of CPU time on both sides. Copies
that fall due in a burst would wait for that, and the burst would measure handshakes.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from loadcheck.data.trace import Trace
from loadcheck.measure.record import StageSpan
from loadcheck.scenario.model import ClosedLoad, OpenLoad, Stage

_CHUNK = 8192
"""Instants computed at once: few enough that it takes well under a millisecond."""
_ROUNDING = 1e-9

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPacer:
    """The schedule of an open load.

    With N(t) the integral of the rate, copy n is due at the t where N(t) = n ("constant"), or where
    N(t) is the sum of n+1 exponential variates of mean 1 ("poisson": an inhomogeneous Poisson
    process by time rescaling, exact in the mean in every stretch of time).

    Attributes:
        stages: At least one.
        arrivals: Which of the two rules applies.
        seed: Seed of the exponential variates.
        trace: The recorded arrivals whose rate is followed, instead of that of the stages.
        most: The schedule ends after this many copies; None: with its last stage.
    """

    stages: Sequence[Stage]
    arrivals: Literal["constant", "poisson"] = "constant"
    seed: int = 0
    trace: Trace | None = None
    most: int | None = None

    @property
    def duration_s(self) -> float:
        """Length of the schedule; the last copy is due before its end."""
        return sum(stage.duration_s for stage in self.stages)

    @property
    def peak_rate(self) -> float:
        """The highest target rate, in copies per second."""
        if self.trace is not None:
            return self.trace.peak_rate
        return max(max(stage.rate, stage.end_rate) for stage in self.stages)

    @property
    def planned(self) -> int:
        """The number of copies, exact also for Poisson arrivals."""
        if self.arrivals == "constant":
            return self._within(int(np.ceil(self._expected()[-1] - _ROUNDING)))
        return sum(len(chunk) for chunk in self.chunks())

    def rate_at(self, elapsed_s: float) -> float:
        """Return the target rate at an instant of the schedule; 0 outside it."""
        if self.trace is not None:
            return self.trace.rate_at(elapsed_s)
        begin = 0.0
        for stage in self.stages:
            into = elapsed_s - begin
            if 0 <= into < stage.duration_s:
                return stage.rate + (stage.end_rate - stage.rate) * into / stage.duration_s
            begin += stage.duration_s
        return 0.0

    def expected_at(self, elapsed_s: float) -> float:
        """Return N(t): how many copies are due by then, on average."""
        if self.trace is not None:
            return self.trace.expected_at(elapsed_s)
        begin = total = 0.0
        for stage in self.stages:
            into = min(max(elapsed_s - begin, 0.0), stage.duration_s)
            slope = (stage.end_rate - stage.rate) / stage.duration_s
            total += stage.rate * into + slope * into * into / 2
            begin += stage.duration_s
        return total

    def due_before(self, elapsed_s: float) -> int:
        """Return how many copies fall due before an instant of the schedule, exactly."""
        if self.trace is not None:
            return self._within(self._due_in_trace(elapsed_s))
        if self.arrivals == "constant":
            return self._within(int(np.ceil(self.expected_at(elapsed_s) - _ROUNDING)))
        end_ns = round(elapsed_s * 1e9)
        return sum(int(np.searchsorted(chunk, end_ns)) for chunk in self.chunks())

    def chunks(self) -> Iterator[npt.NDArray[np.int64]]:
        """Yield the due instants in order, in ns since the start, some thousands at a time."""
        total, begun = float(self._expected()[-1]), 0
        for positions in self._positions(total):
            most = self._most_own
            due = positions if most is None else positions[: max(0, most - begun)]
            begun += due.size
            if due.size:
                yield np.rint(self._invert(due) * 1e9).astype(np.int64)

    def _due_in_trace(self, elapsed_s: float) -> int:
        """Return how many copies of a trace fall due before an instant, as in :meth:`chunks`.

        Many may fall due at once, or a nanosecond apart, so the number from the sum is corrected.
        """
        end_ns, most = round(elapsed_s * 1e9), int(np.ceil(self._expected()[-1] - _ROUNDING))
        found = min(most, int(np.ceil(self.expected_at(elapsed_s) - _ROUNDING)))

        def due_ns(number: int) -> int:
            return int(np.rint(self._invert(np.array([float(number)])) * 1e9)[0])

        while found > 0 and due_ns(found - 1) >= end_ns:
            found -= 1
        while found < most and due_ns(found) < end_ns:
            found += 1
        return found

    @property
    def _most_own(self) -> int | None:
        """The most copies that :meth:`chunks` yields; None if only the stages bound them."""
        return self.most

    def _within(self, copies: int) -> int:
        return max(0, copies if self.most is None else min(copies, self.most))

    def _expected(self) -> Array:
        """Return N at the beginning of each stage and at the end of the last."""
        if self.trace is not None:
            return np.array([0.0, self.trace.total])
        added = [s.duration_s * (s.rate + s.end_rate) / 2 for s in self.stages]
        return np.concatenate(([0.0], np.cumsum(added)))

    def _positions(self, total: float) -> Iterator[Array]:
        """Yield the values of N at which copies are due."""
        if self.arrivals == "constant":
            for first in range(0, self.planned, _CHUNK):
                yield np.arange(first, min(first + _CHUNK, self.planned), dtype=np.float64)
            return
        random = np.random.default_rng(self.seed)
        reached = 0.0
        while reached < total:
            positions = reached + np.cumsum(random.standard_exponential(_CHUNK))
            reached = float(positions[-1])
            yield positions[positions < total]

    def _invert(self, positions: Array) -> Array:
        """Return the t at which N(t) equals each position."""
        if self.trace is not None:
            return self.trace.instants(positions)
        expected = self._expected()
        durations = np.array([stage.duration_s for stage in self.stages])
        rates = np.array([stage.rate for stage in self.stages])
        slopes = np.array([(s.end_rate - s.rate) / s.duration_s for s in self.stages])
        begins = np.concatenate(([0.0], np.cumsum(durations)[:-1]))
        # a sum of floats may miss the whole number it stands for by a hair: do not let the first
        # copy of a stage fall into the end of the stage before
        stage = np.searchsorted(expected[1:], positions + _ROUNDING, side="right")
        stage = np.minimum(stage, len(self.stages) - 1)
        into = np.maximum(positions - expected[stage], 0.0)
        rate, slope = rates[stage], slopes[stage]
        # 2x / (r + sqrt(r² + 2ax)): the root of the quadratic that stays exact for a → 0
        root = np.sqrt(np.maximum(rate * rate + 2 * slope * into, 0.0))
        divisor = rate + root
        elapsed = np.divide(2 * into, divisor, out=np.zeros_like(into), where=divisor > 0)
        return np.asarray(begins[stage] + np.minimum(elapsed, durations[stage]))


_ANSWER_S = 0.05
"""Assumed response time: N = rate x time (Little's law) requests are then in flight."""
_LEAD_S = 0.5
_PER_S = 1000.0
"""Assumed speed of opening, in connections per second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Warmup:
    """Connections that are to be open by an instant.

    Attributes:
        at_s: When to begin opening, in seconds since the load began; 0: before it begins.
        connections: How many are to be open.
    """

    at_s: float
    connections: int


def pacer_of(load: OpenLoad, seed: int) -> OpenPacer:
    """Return the schedule of an open load."""
    return OpenPacer(
        stages=load.stages,
        arrivals=load.arrivals,
        seed=seed,
        trace=load.trace,
        most=load.copies,
    )


def planned_copies(load: OpenLoad | ClosedLoad, seed: int) -> int | None:
    """Return how many copies a load has; None if only time bounds it."""
    return load.copies if isinstance(load, ClosedLoad) else pacer_of(load, seed).planned


def levels(load: ClosedLoad) -> Iterator[tuple[float, int]]:
    """Yield when the number of users of a closed load changes, in seconds, and to what.

    Between two numbers users come or go one by one, evenly: the first comes at once, the last goes
    at the end.
    """
    begin_s, users = 0.0, 0
    if not load.ramp or load.ramp[0].concurrency == 0:
        yield 0.0, 0 if load.ramp else load.concurrency
    for stretch in load.ramp:
        change = stretch.concurrency - users
        step = 1 if change > 0 else -1
        late = change < 0
        for number in range(late, abs(change) + late):
            users += step
            yield begin_s + stretch.duration_s * number / abs(change), users
        begin_s += stretch.duration_s


def max_in_flight(load: OpenLoad | ClosedLoad) -> int:
    """Return the most copies that may be in flight at once."""
    return load.concurrency if isinstance(load, ClosedLoad) else load.max_in_flight


def max_requests(load: OpenLoad | ClosedLoad) -> int:
    """Return the most requests of copies that may be in flight: the connections needed."""
    return -(-max_in_flight(load) // load.copies_per_request)


def stage_spans(pacer: OpenPacer, wanted: Collection[str]) -> tuple[StageSpan, ...]:
    """Return the spans of the stages with the wanted names in a schedule."""
    spans = []
    begin_s, first = 0.0, 0
    for stage in pacer.stages if wanted else ():
        end_s = begin_s + stage.duration_s
        last = pacer.due_before(end_s)
        if stage.name in wanted:
            spans.append(
                StageSpan(name=stage.name, begin_s=begin_s, end_s=end_s, first=first, last=last)
            )
        begin_s, first = end_s, last
    return tuple(spans)


def warmups(load: OpenLoad | ClosedLoad) -> list[Warmup]:
    """Return how many connections to open ahead, and when; also before stages of a higher rate."""
    limit = max_requests(load)
    if load.preconnect is not None:
        return [Warmup(at_s=0.0, connections=min(load.preconnect, limit))]
    if isinstance(load, ClosedLoad) and load.ramp:
        # users that come later open their own connection
        return [Warmup(at_s=0.0, connections=min(limit, next(levels(load))[1] or 1))]
    if isinstance(load, ClosedLoad):
        return [Warmup(at_s=0.0, connections=limit)]
    found: list[Warmup] = []
    begin_s = most = 0.0
    for stage in load.stages:
        rate = max(stage.rate, stage.end_rate)
        if load.trace is not None:
            rate = load.trace.peak_rate
        if rate > most:
            connections = min(limit, math.ceil(rate * _ANSWER_S / load.copies_per_request))
            lead_s = _LEAD_S + connections / _PER_S
            found.append(Warmup(at_s=max(0.0, begin_s - lead_s), connections=connections))
            most = rate
        begin_s += stage.duration_s
    return found
