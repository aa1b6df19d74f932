"""Limits concurrency and rate of one step's requests, first in, first out.

For steps that a service meters: a query that every copy makes would otherwise be refused for its
budget long before the ingest is under load. Many who wait have one timer and one heap, however many
they are.
"""

from __future__ import annotations

import functools
import heapq
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

import anyio

from loadcheck.load.transport import Sink
from loadcheck.scenario.model import Limit
from loadcheck.workflow.exchange import Exchange, Failure, Request

_T = TypeVar("_T")
_MS = 1_000_000
_AT_ONCE = 64
"""So many are woken before the loop has its turn."""
_NEVER = 1 << 62

Later = Callable[[float, Callable[[], None]], object]
"""Calls back after some seconds, and returns at once."""


class WaitQueue(Generic[_T]):
    """Calls back at instants, never before.

    One timer serves all who wait, rounded up to whole milliseconds: so those who are due together
    are woken together. A timer for each would cost more than all else that a copy does.

    Args:
        clock: Monotonic nanoseconds.
        wake: Called with whoever has waited.
        later: Sets the timer.
    """

    def __init__(self, clock: Callable[[], int], wake: Callable[[_T], None], later: Later) -> None:
        self._clock = clock
        self._wake = wake
        self._later = later
        self._waiting: list[tuple[int, int, _T]] = []
        self._count = 0
        self._timer = 0  # only the last one that was set counts
        self._next_ns = _NEVER

    def add(self, at_ns: int, who: _T) -> None:
        """Wake somebody at an instant, or about a millisecond later."""
        self._count = count = self._count + 1
        heapq.heappush(self._waiting, (at_ns, count, who))
        if at_ns < self._next_ns:
            self._set(at_ns, at_ns - self._clock())

    def close(self) -> None:
        """Wake nobody any more."""
        self._waiting.clear()
        self._timer += 1
        self._next_ns = _NEVER

    def _set(self, at_ns: int, gap_ns: int) -> None:
        self._next_ns = at_ns
        self._timer += 1
        # the loop rounds, and counts from the beginning of its turn
        whole_s = 0.0 if gap_ns <= 0 else (gap_ns // _MS + 1) / 1000
        self._later(whole_s, functools.partial(self._ring, self._timer))

    def _ring(self, timer: int) -> None:
        """Wake those whose time has come."""
        if timer != self._timer:
            return
        waiting, wake = self._waiting, self._wake
        # whoever waits again meanwhile needs no timer before this is over
        self._next_ns = 0
        now_ns, left = self._clock(), _AT_ONCE
        while waiting and waiting[0][0] <= now_ns and left:
            left -= 1
            wake(heapq.heappop(waiting)[2])
        if timer != self._timer:
            return  # closed meanwhile
        if waiting:
            at_ns = waiting[0][0]
            self._set(at_ns, at_ns - self._clock())
        else:
            self._next_ns = _NEVER


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
        """Hand back what waits as never sent, and whatever comes from now on."""
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
                # a gap may be longer than the run has time to end in
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
