"""Limits concurrency and rate of one step's requests, first in, first out.

For steps that a service meters: a query that every copy makes would otherwise be refused for its
budget long before the ingest is under load.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

import anyio

from loadcheck.load.transport import Sink
from loadcheck.scenario.model import Limit
from loadcheck.workflow.exchange import Exchange, Failure, Request

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
