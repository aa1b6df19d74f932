"""The fast path: HTTP/1.1 over keep-alive connections, straight on the event loop's protocols.

One request is under way per connection; connections are opened when one is needed and none is idle
and used last-in-first-out, so that few stay warm under a light load. This is the one place that
speaks asyncio; anyio's task group holds the tasks that open connections and watch deadlines.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import anyio.abc
import httptools

from loadcheck.load.transport import Sink
from loadcheck.workflow.exchange import Exchange, Failure, Origin, Request

MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 16 * 1024 * 1024

_now_ns = time.monotonic_ns
_SWEEP_S = 0.02
_SWITCHING_PROTOCOLS = 101
_FIRST_FINAL_STATUS = 200


@dataclass(slots=True)
class _Pool:
    """The connections to one origin and the requests that wait for one."""

    origin: Origin
    idle: list[_Connection] = field(default_factory=list)
    waiting: deque[tuple[Request, Sink, int]] = field(default_factory=deque)
    open: int = 0
    opening: int = 0


class WireTransport:
    """Implements :class:`~loadcheck.load.transport.Transport`; made by :func:`wire_transport`."""

    def __init__(
        self,
        tasks: anyio.abc.TaskGroup,
        *,
        max_connections: int,
        connect_s: float,
        request_s: float,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._tasks = tasks
        self._max_connections = max_connections
        self._connect_s = connect_s
        self._request_ns = int(request_s * 1e9)
        self._waiting_ns = int((connect_s + request_s) * 1e9)
        self._tls = tls
        self._pools: dict[Origin, _Pool] = {}
        # connections with a request under way, in the order in which they were sent: the first
        # is the first to reach its deadline
        self.active: dict[_Connection, None] = {}
        self._closing = False

    def submit(self, request: Request, sink: Sink) -> None:
        """Send at once over an idle connection, or queue for the next that opens or is free."""
        if self._closing:
            loop = asyncio.get_running_loop()
            loop.call_soon(_unsent, (request, sink, 0), "the run ended before it was sent")
            return
        pool = self._pools.get(request.origin)
        if pool is None:
            pool = self._pools[request.origin] = _Pool(request.origin)
        if pool.idle:
            pool.idle.pop().send(request, sink, self._request_ns)
            return
        pool.waiting.append((request, sink, _now_ns() + self._waiting_ns))
        self._open_more(pool)

    def abort(self) -> None:
        """Fail every request under way and refuse to open further connections."""
        self._closing = True
        for pool in self._pools.values():
            while pool.waiting:
                _unsent(pool.waiting.popleft(), "the run ended before it was sent")
        for connection in list(self.active):
            connection.give_up(Failure.LOST, "the run ended before the answer came")

    def close(self) -> None:
        """Abort, then close the idle connections."""
        self.abort()
        for pool in self._pools.values():
            while pool.idle:
                pool.idle.pop().close()

    def _open_more(self, pool: _Pool) -> None:
        """Open a connection if more requests wait than connections are on their way."""
        room = pool.open + pool.opening < self._max_connections
        if room and pool.opening < len(pool.waiting) and not self._closing:
            pool.opening += 1
            self._tasks.start_soon(self._connect, pool)

    async def _connect(self, pool: _Pool) -> None:
        """Open one connection and give it the request that has waited longest."""
        origin = pool.origin
        secure = origin.scheme == "https"
        if secure and self._tls is None:
            self._tls = ssl.create_default_context()
        try:
            with anyio.fail_after(self._connect_s):
                await asyncio.get_running_loop().create_connection(
                    lambda: _Connection(self, pool),
                    origin.host,
                    origin.port,
                    ssl=self._tls if secure else None,
                )
        except (OSError, TimeoutError) as error:
            if pool.waiting:
                _unsent(pool.waiting.popleft(), f"cannot connect to {origin}: {_reason(error)}")
        finally:
            pool.opening -= 1
        self._open_more(pool)

    def ready(self, connection: _Connection, pool: _Pool) -> None:
        """Take back a connection that can carry another request."""
        if pool.waiting:
            request, sink, _ = pool.waiting.popleft()
            connection.send(request, sink, self._request_ns)
        elif self._closing:
            connection.close()
        else:
            pool.idle.append(connection)

    def closed(self, connection: _Connection, pool: _Pool) -> None:
        """Forget a connection that has ended and replace it if requests wait."""
        pool.open -= 1
        if connection in pool.idle:
            pool.idle.remove(connection)
        self._open_more(pool)

    async def watch_deadlines(self) -> None:
        """Fail what has waited too long; runs until cancelled."""
        while True:
            await anyio.sleep(_SWEEP_S)
            now = _now_ns()
            late = []
            for connection in self.active:
                if connection.deadline_ns > now:
                    break
                late.append(connection)
            for connection in late:
                connection.give_up(
                    Failure.TIMEOUT, f"no complete answer within {self._request_ns / 1e9:g} s"
                )
            for pool in self._pools.values():
                while pool.waiting and pool.waiting[0][2] <= now:
                    _unsent(pool.waiting.popleft(), "no connection became free in time")


class _Connection(asyncio.Protocol):
    """One connection: writes a request, reads its answer, and is handed back."""

    __slots__ = (
        "_body",
        "_body_bytes",
        "_complete",
        "_exchange",
        "_head_bytes",
        "_headers",
        "_keep_alive",
        "_owner",
        "_parser",
        "_pool",
        "_sink",
        "_status",
        "_surplus",
        "_transport",
        "_until_close",
        "deadline_ns",
    )

    def __init__(self, owner: WireTransport, pool: _Pool) -> None:
        self._owner = owner
        self._pool = pool
        self._parser = httptools.HttpResponseParser(self)
        self._exchange: Exchange | None = None
        self._sink: Sink | None = None
        self._reset()
        self.deadline_ns = 0

    def _reset(self) -> None:
        self._status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._body: bytes | list[bytes] = b""
        self._body_bytes = 0
        self._complete = False
        self._surplus = False
        self._keep_alive = False
        self._until_close = False

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._pool.open += 1
        self._owner.ready(self, self._pool)

    def data_received(self, data: bytes) -> None:
        if self._exchange is None:
            # bytes that nobody asked for: what follows could be taken for another answer
            self.close()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.give_up(Failure.UNREADABLE, "the server switched protocols")
            return
        except httptools.HttpParserError as error:
            self._surplus = self._complete
            if not self._complete:
                self.give_up(Failure.UNREADABLE, f"not an HTTP/1.1 answer: {error}")
                return
        if self._complete:
            self._finish()
            return
        if not self._status:
            self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD_BYTES or self._body_bytes > MAX_BODY_BYTES:
            self.give_up(Failure.UNREADABLE, "the answer is larger than allowed")

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self._exchange is not None:
            if self._until_close and exc is None:
                self._keep_alive = False
                self._finish()
            else:
                how = _reason(exc) if exc else "the server closed the connection"
                self._fail(Failure.LOST, f"no complete answer: {how}")
        self._owner.closed(self, self._pool)

    # what the parser calls

    def on_message_begin(self) -> None:
        if self._complete:
            # a second answer to one request: it must not be taken for the next request's
            self._surplus = True
        else:
            self._reset()

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._surplus:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if self._surplus:
            return
        self._status = self._parser.get_status_code()
        self._keep_alive = self._parser.should_keep_alive()
        if self._status >= _FIRST_FINAL_STATUS and not self._keep_alive:
            names = {name for name, _ in self._headers}
            self._until_close = not names & {b"content-length", b"transfer-encoding"}

    def on_body(self, data: bytes) -> None:
        if self._surplus:
            return
        self._body_bytes += len(data)
        if not self._body:
            self._body = data
        elif isinstance(self._body, list):
            self._body.append(data)
        else:
            self._body = [self._body, data]

    def on_message_complete(self) -> None:
        # RFC 9110 section 15.2: an interim answer comes before the final one
        if self._status >= _FIRST_FINAL_STATUS:
            self._complete = True

    # what the owner calls

    def send(self, request: Request, sink: Sink, timeout_ns: int) -> None:
        """Write a request; its answer goes to ``sink``."""
        self._reset()
        self._sink = sink
        now = _now_ns()
        self._exchange = Exchange(request, sent_ns=now)
        self.deadline_ns = now + timeout_ns
        self._owner.active[self] = None
        body = request.body
        if body:
            data = b"%bcontent-length: %d\r\n\r\n%b" % (request.head, len(body), body)
        elif request.head.startswith((b"GET ", b"HEAD ")):
            data = request.head + b"\r\n"
        else:
            data = request.head + b"content-length: 0\r\n\r\n"
        self._transport.write(data)  # type: ignore[attr-defined]  # a write transport

    def give_up(self, failure: Failure, detail: str) -> None:
        """Fail the request under way; the connection cannot be used again."""
        self._fail(failure, detail)
        self._transport.abort()  # type: ignore[attr-defined]  # a write transport

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def _finish(self) -> None:
        exchange, sink = self._exchange, self._sink
        assert exchange is not None
        assert sink is not None
        self._exchange = self._sink = None
        del self._owner.active[self]
        exchange.done_ns = _now_ns()
        exchange.status = self._status
        exchange.headers = self._headers
        exchange.body = self._body if isinstance(self._body, bytes) else b"".join(self._body)
        if self._keep_alive and not self._surplus:
            self._owner.ready(self, self._pool)
        else:
            self.close()
        sink(exchange)

    def _fail(self, failure: Failure, detail: str) -> None:
        exchange, sink = self._exchange, self._sink
        if exchange is None or sink is None:
            return
        self._exchange = self._sink = None
        del self._owner.active[self]
        exchange.done_ns = _now_ns()
        exchange.failure = failure
        exchange.detail = detail
        sink(exchange)


def _unsent(entry: tuple[Request, Sink, int], detail: str) -> None:
    request, sink, _ = entry
    sink(Exchange(request, done_ns=_now_ns(), failure=Failure.CONNECT, detail=detail))


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError) and not str(error):
        return "timed out"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__


@asynccontextmanager
async def wire_transport(
    *,
    max_connections: int,
    connect_s: float,
    request_s: float,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[WireTransport]:
    """Open the wire transport for the length of a block; on leaving it everything is closed.

    Args:
        max_connections: The most connections per origin; further requests wait for one.
        connect_s: Deadline for opening a connection, TLS included.
        request_s: Deadline from the first byte written to the last byte read.
        tls: Context for https origins; None: the system's certificates, verified.
    """
    async with anyio.create_task_group() as tasks:
        transport = WireTransport(
            tasks,
            max_connections=max_connections,
            connect_s=connect_s,
            request_s=request_s,
            tls=tls,
        )
        tasks.start_soon(transport.watch_deadlines)
        try:
            yield transport
        finally:
            transport.close()
            tasks.cancel_scope.cancel()
