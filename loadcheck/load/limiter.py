"""Limits concurrency and rate of one step's requests, first in, first out.

For steps that a service meters: a query that every copy makes would otherwise exceed its budget
long before the ingest is under load. All waiting copies share one timer and one heap, however many
they are.
"""

from __future__ import annotations

import functools
import heapq
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import anyio

from loadcheck.load.transport import Sink
from loadcheck.scenario.model import Limit
from loadcheck.workflow.exchange import Exchange, Failure, Request

_T = TypeVar("_T")
_MS = 1_000_000
_TICK_BITS = 18
"""Waits end at multiples of two to this power of nanoseconds: 262 µs."""
_AT_ONCE = 64
"""The most waiting objects that are woken before the loop has its turn."""
_NEVER = 1 << 62

Later = Callable[[float, Callable[[], None]], object]
"""Calls back after some seconds, and returns at once."""


class WaitQueue(Generic[_T]):
    """Calls back at instants, never before.

    Objects that are due within a quarter of a millisecond are woken together, and one timer serves
    all that wait, rounded up to whole milliseconds. A timer for each, and a heap of all, would cost
    more than everything else that a copy does.

    Args:
        clock: Monotonic nanoseconds.
        wake: Called with the objects that have waited, at least one.
        later: Sets the timer.
    """

    def __init__(
        self, clock: Callable[[], int], wake: Callable[[Sequence[_T]], None], later: Later
    ) -> None:
        self._clock = clock
        self._wake = wake
        self._later = later
        self._waiting: dict[int, list[_T]] = {}
        self._ticks: list[int] = []  # its keys, as a heap
        self._timer = 0  # only the last one that was set counts
        self._next = _NEVER

    def add(self, at_ns: int, who: _T) -> None:
        """Wake an object at an instant, or about a millisecond later."""
        tick = (at_ns >> _TICK_BITS) + 1
        waiting = self._waiting.get(tick)
        if waiting is not None:
            waiting.append(who)
            return
        self._waiting[tick] = [who]
        heapq.heappush(self._ticks, tick)
        if tick < self._next:
            self._set(tick)

    def close(self) -> None:
        """Wake nothing any more."""
        self._waiting.clear()
        self._ticks.clear()
        self._timer += 1
        self._next = _NEVER

    def _set(self, tick: int) -> None:
        self._next = tick
        self._timer += 1
        gap_ns = (tick << _TICK_BITS) - self._clock()
        # the loop rounds, and counts from the beginning of its turn
        whole_s = 0.0 if gap_ns <= 0 else (gap_ns // _MS + 1) / 1000
        self._later(whole_s, functools.partial(self._ring, self._timer))

    def _ring(self, timer: int) -> None:
        """Wake the objects whose time has come."""
        if timer != self._timer:
            return
        ticks = self._ticks
        # objects that are added meanwhile need no timer before this is over
        self._next = 0
        now, left = self._clock() >> _TICK_BITS, _AT_ONCE
        while ticks and ticks[0] <= now and left > 0:
            crowd = self._waiting[ticks[0]]
            if len(crowd) > left:
                self._waiting[ticks[0]] = crowd[left:]
                del crowd[left:]
            else:
                del self._waiting[heapq.heappop(ticks)]
            left -= len(crowd)
            self._wake(crowd)
        if timer != self._timer:
            return  # closed meanwhile
        if ticks:
            self._set(ticks[0])
        else:
            self._next = _NEVER


Submit = Callable[[Request, Sink], None]


class StepLimiter:
    """Lets requests of one step through as its limit allows.

    The time that a request waits here is not part of its service time: it has not been sent.

    Args:
        limit: The limit.
        submit: Sends a request that is let through.
        clock: Monotonic nanoseconds.
    """

    def __init__(
        self, limit: Limit, submit: Submit, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._concurrency = limit.concurrency
        self._gap_ns = 0 if limit.rate is None else int(1e9 / limit.rate)
        self._phase_ns = int(limit.phase_s * 1e9)
        self._submit = submit
        self._clock = clock
        self._waiting: deque[tuple[Request, Sink]] = deque()
        self._under_way = 0
        self._closed = False
        self._changed = anyio.Event()
        self._ended = anyio.Event()

    @property
    def waiting(self) -> int:
        """Requests that have not been let through yet."""
        return len(self._waiting)

    def submit(self, request: Request, sink: Sink) -> None:
        """Queue a request; returns at once and never calls the sink itself."""
        self._waiting.append((request, sink))
        self._changed.set()

    def close(self) -> None:
        """Hand back waiting requests as never sent, and all that come from now on."""
        self._closed = True
        self._changed.set()
        self._ended.set()

    async def serve(self) -> None:
        """Let requests through; runs until cancelled."""
        next_ns = self._clock() + self._phase_ns
        while True:
            if self._closed:
                while self._waiting:
                    request, sink = self._waiting.popleft()
                    sink(_unsent(request, self._clock()))
            free = self._concurrency is None or self._under_way < self._concurrency
            if not self._waiting or not free:
                self._changed = anyio.Event()
                await self._changed.wait()
                continue
            gap_ns = next_ns - self._clock()
            if gap_ns > 0:
                # a gap may be longer than the time that the run has to end
                with anyio.move_on_after(gap_ns / 1e9):
                    await self._ended.wait()
                continue
            next_ns = max(next_ns, self._clock()) + self._gap_ns
            request, sink = self._waiting.popleft()
            self._under_way += 1
            self._submit(request, self._returning(sink))

    def _returning(self, sink: Sink) -> Sink:
        def returned(exchange: Exchange) -> None:
            self._under_way -= 1
            self._changed.set()
            sink(exchange)

        return returned


def _unsent(request: Request, now_ns: int) -> Exchange:
    detail = "the run ended before it was sent"
    return Exchange(request, done_ns=now_ns, failure=Failure.CONNECT, detail=detail)
