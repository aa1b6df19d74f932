"""The fast path: HTTP/1.1 over keep-alive connections, straight on the event loop's protocols.

One request is under way per connection; connections are opened when one is needed and none is idle
and used last-in-first-out, so that few stay warm under a light load. This is the one place that
speaks asyncio; anyio's task group holds the tasks that open connections and watch deadlines.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.abc

from loadcheck.load.transport import Sink
from loadcheck.load.transport.connection import Connection
from loadcheck.load.transport.pool import PendingRequest, Pool, fail_unsent
from loadcheck.load.transport.settings import TransportSettings
from loadcheck.workflow.exchange import Failure, Origin, Request

_SWEEP_S = 0.02


class WireTransport:
    """Implements :class:`~loadcheck.load.transport.LoadTransport`; made by :func:`wire_transport`.

    Attributes:
        stale_retries: Requests that were sent a second time because the connection of the first
            had been idle and was being closed when it was used.
    """

    def __init__(self, tasks: anyio.abc.TaskGroup, settings: TransportSettings) -> None:
        self._tasks = tasks
        self._settings = settings
        # the first is the first to reach a deadline
        self._active: dict[Connection, None] = {}
        self._pools: dict[Origin, Pool] = {}
        self._closing = False
        self.stale_retries = 0

    def submit(self, request: Request, sink: Sink) -> None:
        """Send at once over an idle connection, or queue for the next that opens or is free."""
        if self._closing:
            loop = asyncio.get_running_loop()
            loop.call_soon(
                fail_unsent, PendingRequest(request, sink, 0), "the run ended before it was sent"
            )
            return
        pool = self._pools.get(request.origin)
        if pool is None:
            pool = self._pool(request.origin)
        if pool.idle:
            pool.idle.popitem()[0].send(request, sink)
        else:
            pool.queue(request, sink)

    async def warm(self, origin: Origin, connections: int) -> None:
        """Open connections that are about to be needed, at a bounded rate."""
        if not self._closing:
            await self._pool(origin).warm(connections)

    def abort(self) -> None:
        """Fail every request under way and refuse to open further connections."""
        self._closing = True
        for pool in self._pools.values():
            pool.abort()
        for connection in list(self._active):
            connection.give_up(Failure.LOST, "the run ended before the answer came")

    def close(self) -> None:
        """Abort, then close the idle connections."""
        self.abort()
        for pool in self._pools.values():
            pool.close()

    async def watch_deadlines(self) -> None:
        """Fail what has taken too long; runs until cancelled."""
        settings, timeouts = self._settings, self._settings.timeouts
        given = (
            timeouts.request_s,
            timeouts.write_s,
            timeouts.read_s,
            *settings.steps_s.values(),
        )
        shortest_ns = int(min(seconds for seconds in given if seconds) * 1e9)
        while True:
            await anyio.sleep(_SWEEP_S)
            now_ns = time.monotonic_ns()
            late = []
            for connection in self._active:
                if connection.sent_ns + shortest_ns > now_ns:
                    break
                missed = connection.overdue(now_ns, settings)
                if missed:
                    late.append((connection, missed))
            for connection, missed in late:
                connection.give_up(Failure.TIMEOUT, missed)
            for pool in self._pools.values():
                pool.expire(now_ns)

    def _pool(self, origin: Origin) -> Pool:
        pool = self._pools.get(origin)
        if pool is None:
            pool = self._pools[origin] = Pool(
                self._tasks, origin, self._settings, self._active, self._repeat
            )
        return pool

    def _repeat(self, request: Request) -> bool:
        """Return whether a second sending can do no harm; count it."""
        if request.step not in self._settings.repeatable:
            return False
        self.stale_retries += 1
        return True


@asynccontextmanager
async def wire_transport(settings: TransportSettings) -> AsyncIterator[WireTransport]:
    """Open the wire transport for the length of a block; on leaving it everything is closed."""
    async with anyio.create_task_group() as tasks:
        transport = WireTransport(tasks, settings)
        tasks.start_soon(transport.watch_deadlines)
        try:
            yield transport
        finally:
            transport.close()
            tasks.cancel_scope.cancel()
