"""Which part of a load each of several generators sends, and copies of several uploads.

Batch ``j`` of the run, the copies that share a request, belongs to generator ``j mod N``. So all
of them send at every instant of the schedule, each the same share of it. A generator numbers its
own copies from 0 without gaps: its sets of numbers stay as compact as those of a whole run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from loadcheck.data import Visits
from loadcheck.load.pacer import OpenPacer, Warmup
from loadcheck.scenario.model import ClosedLoad, Limit, OpenLoad
from loadcheck.workflow.exchange import Gap
from loadcheck.workflow.runtime import Flow, RetryPolicy
from loadcheck.workflow.runtime.batch import Refuse

WaitTime = Callable[[int, int], float]
"""Returns the seconds of a wait, by the upload's number and how often it has waited before."""


class SessionPlan:
    """A plan whose copies run it several times, each time as another upload of one user.

    Args:
        plan: The workflow of an upload, by its number.
        visits: How often copies upload, and how long they wait in between.
    """

    def __init__(self, plan: Copies, visits: Visits) -> None:
        self._plan = plan
        self._visits = visits

    def copy(self, number: int, time_ms: int, retry: RetryPolicy, /) -> Flow[bool]:
        """Return the flow of a copy."""
        visits, plan = self._visits, self._plan
        first = number * visits.most
        success = yield from plan.copy(first, time_ms, retry)
        for turn in range(1, visits.uploads(number)):
            yield Gap(visits.gap(number, turn))
            now_ms = time.time_ns() // 1_000_000
            success &= yield from plan.copy(first + turn, now_ms, retry)
        return success

    def batch(
        self, numbers: Sequence[int], time_ms: int, retry: RetryPolicy, refuse: Refuse, /
    ) -> Flow[bool]:
        """Return the flow of copies that share requests: they upload once."""
        return self._plan.batch(numbers, time_ms, retry, refuse)


Numbers = npt.NDArray[np.int64]
_Key = TypeVar("_Key", int, str)


class Copies(Protocol):
    """The workflow of copies: a plan, or a part of one with a numbering of its own."""

    def copy(self, number: int, time_ms: int, retry: RetryPolicy, /) -> Flow[bool]:
        """Return the flow of one copy, by its number."""

    def batch(
        self, numbers: Sequence[int], time_ms: int, retry: RetryPolicy, refuse: Refuse, /
    ) -> Flow[bool]:
        """Return the flow of copies that share requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """The part of a load that one generator sends.

    Attributes:
        index: The generator's index, from 0.
        of: How many generators there are.
        together: Copies that share a request.
    """

    index: int
    of: int
    together: int = 1

    def number(self, own: int) -> int:
        """Return the number in the run of a copy that has this number here."""
        batch, place = divmod(own, self.together)
        return (batch * self.of + self.index) * self.together + place

    def numbers(self, own: Numbers) -> Numbers:
        """Return the numbers in the run of many copies, by their numbers here."""
        if self.together == 1:
            return own * self.of + self.index
        batch, place = np.divmod(own, self.together)
        return (batch * self.of + self.index) * self.together + place

    def waits(self, wait: WaitTime, uploads: int) -> WaitTime:
        """Return the waits of its own copies, by the numbers of their uploads.

        Args:
            wait: The waits of the run's copies.
            uploads: The most uploads of a copy.
        """

        def own(upload: int, turn: int) -> float:
            copy, place = divmod(upload, uploads)
            return wait(self.number(copy) * uploads + place, turn)

        return own

    def count(self, copies: int) -> int:
        """Return how many of the run's first ``copies`` copies are its own."""
        rounds, rest = divmod(copies, self.of * self.together)
        mine = min(max(rest - self.index * self.together, 0), self.together)
        return rounds * self.together + mine

    def share(self, total: int) -> int:
        """Return its share of a number; the shares of all generators add up to it."""
        return total // self.of + (self.index < total % self.of)

    def seed(self, seed: int) -> int:
        """Return a seed of its own: generators that retried in step would be a burst."""
        return seed ^ (self.index * 0x9E3779B97F4A7C15 & 0xFFFF_FFFF_FFFF_FFFF)

    def warmup(self, warmup: Warmup) -> Warmup:
        """Return its share of the connections to open ahead."""
        return replace(warmup, connections=self.share(warmup.connections))

    def limits(self, limits: Mapping[_Key, Limit]) -> dict[_Key, Limit]:
        """Return its share of the limits of metered steps."""
        return {
            step: Limit(
                concurrency=limit.concurrency and self.share(limit.concurrency),
                rate=None if limit.rate is None else limit.rate / self.of,
                phase_s=0.0 if limit.rate is None else self.index / limit.rate,
            )
            for step, limit in limits.items()
        }

    def share_of_copies(self, total: int) -> int:
        """Return its share of the copies that may be in flight, in whole requests.

        The shares of all add up, and so do the requests that they stand for.
        """
        requests = -(-total // self.together)
        mine = self.share(requests) * self.together
        # the last request has what is left over
        last = (requests - 1) % self.of
        return mine - (requests * self.together - total) if self.index == last else mine


@dataclass(frozen=True, slots=True, kw_only=True)
class SlicedPacer(OpenPacer):
    """The part of an open load's schedule that one generator sends.

    Its instants are those of the whole schedule, to the nanosecond, under its own numbers. Places
    in the schedule are selected before they are turned into instants, so that each generator
    computes no more than its own part.

    Attributes:
        slice: The part.
        whole: The whole schedule.
    """

    slice: Slice
    whole: OpenPacer

    @classmethod
    def of(cls, whole: OpenPacer, part: Slice) -> SlicedPacer:
        """Return a part of a schedule."""
        shared = {name: getattr(whole, name) for name in OpenPacer.__slots__}
        return cls(**shared, slice=part, whole=whole)

    @property
    def peak_rate(self) -> float:
        """Its share of the highest target rate."""
        return self.whole.peak_rate / self.slice.of

    @property
    def planned(self) -> int:
        """The number of its own copies."""
        return self.slice.count(self.whole.planned)

    def rate_at(self, elapsed_s: float) -> float:
        """Return its share of the target rate at an instant."""
        return self.whole.rate_at(elapsed_s) / self.slice.of

    def expected_at(self, elapsed_s: float) -> float:
        """Return how many of its copies are due by an instant, on average."""
        return self.whole.expected_at(elapsed_s) / self.slice.of

    def due_before(self, elapsed_s: float) -> int:
        """Return how many of its copies fall due before an instant, exactly."""
        return self.slice.count(self.whole.due_before(elapsed_s))

    @property
    def _most_own(self) -> int | None:
        return None if self.most is None else self.slice.count(self.most)

    def _positions(self, total: float) -> Iterator[npt.NDArray[np.float64]]:
        part, whole = self.slice, self.whole
        if self.arrivals == "constant":
            for first, last in _pieces(part.count(whole.planned)):
                yield part.numbers(np.arange(first, last, dtype=np.int64)).astype(np.float64)
            return
        first = 0
        for positions in whole._positions(total):  # noqa: SLF001  # of the same class
            # its copies among those from `first` on, by their places in this piece
            own = np.arange(part.count(first), part.count(first + positions.size), dtype=np.int64)
            yield positions[part.numbers(own) - first]
            first += positions.size


def share_of(load: OpenLoad | ClosedLoad, part: Slice) -> OpenLoad | ClosedLoad:
    """Return a load with one generator's share of the copies in flight, and of all copies.

    The schedule stays that of the whole load.
    """
    if isinstance(load, ClosedLoad):
        return replace(
            load,
            # the levels of a ramp are shared one by one as they come
            concurrency=part.share_of_copies(load.concurrency),
            copies=None if load.copies is None else part.count(load.copies),
        )
    # less than a whole request is of no use
    requests = load.max_in_flight // part.together
    return replace(load, max_in_flight=part.share(requests) * part.together)


def too_few(
    load: OpenLoad | ClosedLoad, limits: Mapping[str, Limit], of: int
) -> Iterator[tuple[str, int, str]]:
    """Yield what cannot be divided among this many generators: its key, its amount, and of what.

    No generator's share may be zero.
    """
    last = Slice(index=of - 1, of=of, together=load.copies_per_request)
    share = share_of(load, last)
    if isinstance(load, ClosedLoad) and isinstance(share, ClosedLoad):
        if share.concurrency < 1:
            yield "load.concurrency", load.concurrency, "copies in flight"
        if load.copies is not None and share.copies == 0:
            yield "load.copies", load.copies, "copies"
    elif isinstance(load, OpenLoad) and isinstance(share, OpenLoad) and share.max_in_flight < 1:
        yield "load.max_in_flight", load.max_in_flight, "copies in flight"
    for step, limit in last.limits(limits).items():
        if limit.concurrency == 0:
            yield f"limits.{step}.concurrency", limits[step].concurrency or 0, "requests"


_PIECE = 8192


def _pieces(copies: int) -> Iterable[tuple[int, int]]:
    return ((first, min(first + _PIECE, copies)) for first in range(0, copies, _PIECE))


class SlicedPlan:
    """The workflow of copies, under the numbers that one generator gives them.

    Args:
        plan: The plan of the run.
        part: Which copies of it are sent here.
    """

    def __init__(self, plan: Copies, part: Slice) -> None:
        self._plan = plan
        self._number = part.number

    def copy(self, number: int, time_ms: int, retry: RetryPolicy, /) -> Flow[bool]:
        """Return the flow of a copy by its own number."""
        return self._plan.copy(self._number(number), time_ms, retry)

    def batch(
        self, numbers: Sequence[int], time_ms: int, retry: RetryPolicy, refuse: Refuse, /
    ) -> Flow[bool]:
        """Return the flow of copies that share requests."""
        return self._plan.batch([*map(self._number, numbers)], time_ms, retry, refuse)
