"""The fast path: HTTP/1.1 over keep-alive connections, straight on the event loop's protocols.

One request is in flight per connection; connections are opened when one is needed and none is idle,
and used last in, first out, so that few stay warm under a light load. Connections are asyncio's;
anyio's task group holds the tasks that open them and watch deadlines. A pool has the connections to
one origin and the requests that wait for one.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

import anyio
import anyio.abc

from loadcheck.load.transport import (
    CLOSED_IDLE,
    Sink,
    TransportSettings,
    client_context,
    encode_gzip,
    encode_plain,
)
from loadcheck.load.transport.connection import Connection
from loadcheck.load.transport.dial import Dialer
from loadcheck.load.transport.failures import failure_of, in_words
from loadcheck.scenario.model import Tls
from loadcheck.workflow.exchange import Exchange, Failure, Origin, Request, RetriedExchange

_now_ns = time.monotonic_ns
_MOST_OPENING = 256
"""The most connections opened at once: more would overflow the backlog of many servers."""
_AHEAD_PER_S = 2000
_AHEAD_TOGETHER = 20
"""Rate and batch size for opening connections ahead of a burst."""


class PendingRequest(NamedTuple):
    """A request without a connection.

    Attributes:
        request: The request.
        sink: Receives the exchange.
        until_ns: When it has waited too long.
        sent_ns: When it was written to a connection that was being closed; 0: never.
    """

    request: Request
    sink: Sink
    until_ns: int
    sent_ns: int = 0


class Pool:
    """The connections to one origin; implements their :class:`~.connection.ConnectionOwner`.

    Args:
        tasks: Holds the tasks that open connections.
        origin: The origin that they lead to.
        settings: How many there may be, how they are opened and used.
        active: The connections with a request in flight, in the order in which they were sent.
        repeat: Returns whether a lost request may be sent again, and counts it.

    Attributes:
        idle: Connections without a request; the most recently used, which is to be reused first,
            is the last.
    """

    def __init__(
        self,
        tasks: anyio.abc.TaskGroup,
        origin: Origin,
        settings: TransportSettings,
        active: dict[Connection, None],
        repeat: Callable[[Request], bool],
    ) -> None:
        self._tasks = tasks
        self._origin = origin
        self._dialer = Dialer(origin.host, origin.port)
        self._limit = settings.max_connections
        self._connect_s = settings.timeouts.connect_s
        self._waiting_ns = int(settings.waiting_s * 1e9)
        self._max_idle_ns = int(settings.timeouts.max_idle_s * 1e9)
        self._tls = _context(settings.tls) if origin.scheme == "https" else None
        named = settings.tls.server_name or origin.host
        self._server_name = named if self._tls is not None else None
        self._active = active
        self._encode = encode_plain if settings.compress == "none" else encode_gzip
        self._repeat = repeat
        self.idle: dict[Connection, None] = {}
        self._waiting: deque[PendingRequest] = deque()
        # only for connections that have just been opened
        self._retry_queue: deque[PendingRequest] = deque()
        self._open = 0
        self._opening = 0
        self._closing = False

    def queue(self, request: Request, sink: Sink) -> None:
        """Queue a request for the next connection that opens or is free."""
        self._waiting.append(PendingRequest(request, sink, _now_ns() + self._waiting_ns))
        self._open_more()

    async def warm(self, connections: int) -> None:
        """Open connections up to this many, at a bounded rate; give up if one fails."""
        wanted = min(connections, self._limit) - self._open - self._opening
        failed = anyio.Event()
        async with anyio.create_task_group() as tasks:
            for number in range(1, wanted + 1):
                if self._closing or failed.is_set() or self._open + self._opening >= self._limit:
                    break
                self._opening += 1
                tasks.start_soon(self._connect, failed)
                if number % _AHEAD_TOGETHER == 0:
                    await anyio.sleep(_AHEAD_TOGETHER / _AHEAD_PER_S)

    def expire(self, now_ns: int) -> None:
        """Fail requests that have waited too long; end connections that have been idle too long."""
        for queue in (self._retry_queue, self._waiting):
            while queue and queue[0].until_ns <= now_ns:
                fail_unsent(queue.popleft(), "no connection became free in time")
        while self.idle:
            oldest = next(iter(self.idle))
            if now_ns - oldest.idle_since_ns <= self._max_idle_ns:
                break
            del self.idle[oldest]
            oldest.abort()

    def abort(self) -> None:
        """Fail the requests that wait, and open no further connections."""
        self._closing = True
        for queue in (self._retry_queue, self._waiting):
            while queue:
                fail_unsent(queue.popleft(), "the run ended before it was sent")

    def close(self) -> None:
        """Close the idle connections."""
        while self.idle:
            self.idle.popitem()[0].abort()

    # what a connection calls

    def ready(self, connection: Connection) -> None:
        """Take back a connection that can carry another request."""
        if self._waiting:
            entry = self._waiting.popleft()
            connection.send(entry.request, entry.sink)
        elif self._closing:
            connection.abort()
        else:
            self.idle[connection] = None

    def keep(self, max_idle_s: float) -> None:
        """Use no connection that has been idle for longer: the server ends those."""
        self._max_idle_ns = min(self._max_idle_ns, int(max_idle_s * 1e9))

    def leaving(self, connection: Connection) -> None:
        """Give a connection no further request."""
        self.idle.pop(connection, None)

    def closed(self, connection: Connection) -> None:
        """Forget a connection that has ended and replace it if requests wait."""
        self._open -= 1
        self.idle.pop(connection, None)
        self._open_more()

    def stale(self, request: Request, sink: Sink, sent_ns: int) -> bool:
        """Resend a request that met a closing connection, if allowed; return whether it is.

        A connection is opened for it, so that this cannot happen a second time.
        """
        if self._closing or not self._repeat(request):
            return False
        self._retry_queue.append(
            PendingRequest(request, sink, _now_ns() + self._waiting_ns, sent_ns)
        )
        return True

    # opening

    def _open_more(self) -> None:
        """Open connections if more requests wait than connections are being opened."""
        while (
            self._opening < len(self._waiting) + len(self._retry_queue)
            and self._opening < _MOST_OPENING
            and self._open + self._opening < self._limit
            and not self._closing
        ):
            self._opening += 1
            self._tasks.start_soon(self._connect)

    async def _connect(self, failed: anyio.Event | None = None) -> None:
        """Open one connection and give it the request that has waited longest."""
        try:
            with anyio.fail_after(self._connect_s):
                _, connection = await asyncio.get_running_loop().create_connection(
                    lambda: Connection(self, self._active, self._encode),
                    sock=await self._dialer.open(),
                    ssl=self._tls,
                    server_hostname=self._server_name,
                )
        except Exception as error:  # noqa: BLE001  # whatever it is: there is no connection
            self._opening -= 1
            self._refused(error)
            if failed is not None:
                failed.set()
        except BaseException:
            self._opening -= 1
            raise
        else:
            self._opening -= 1
            self._open += 1
            self._opened(connection)
        self._open_more()

    def _opened(self, connection: Connection) -> None:
        if self._closing:
            connection.abort()
        elif connection.ended:
            # before a request could be written: its response would never come
            connection.abort()
            self._refused(ConnectionResetError("the server closed the connection at once"))
        elif self._retry_queue:
            entry = self._retry_queue.popleft()
            connection.send(entry.request, entry.sink, entry.sent_ns)
        else:
            if not self._waiting:
                connection.idle_since_ns = _now_ns()
            self.ready(connection)

    def _refused(self, error: Exception) -> None:
        queue = self._retry_queue or self._waiting
        if queue:
            detail = f"cannot connect to {self._origin}: {in_words(error)}"
            fail_unsent(queue.popleft(), detail, failure_of(error, sent=False))


def _context(tls: Tls) -> ssl.SSLContext:
    context = client_context(tls)
    context.set_alpn_protocols(["http/1.1"])
    return context


def fail_unsent(entry: PendingRequest, detail: str, failure: Failure = Failure.CONNECT) -> None:
    """Hand back a request as never sent; as lost, if only its second sending failed."""
    if entry.sent_ns:
        lost = RetriedExchange(entry.request, sent_ns=entry.sent_ns, done_ns=_now_ns())
        lost.failure = Failure.LOST
        lost.detail = f"{CLOSED_IDLE}, and then: {detail}"
        entry.sink(lost)
        return
    entry.sink(Exchange(entry.request, done_ns=_now_ns(), failure=failure, detail=detail))


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
        """Fail every request in flight and refuse to open further connections."""
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
        """Fail requests that have taken too long; runs until cancelled."""
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
        """Return whether sending a request a second time does no harm; count it if so."""
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
