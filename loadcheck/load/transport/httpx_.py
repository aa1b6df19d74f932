"""Requests through httpx, at a tenth of the pace: for queries, proxies and what wire cannot do."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import anyio.abc
import httpx

from loadcheck.load.transport import Sink
from loadcheck.load.transport.coding import CodingError, compressed, decoded
from loadcheck.load.transport.routes import Proxies, RoutedTransport, Routes
from loadcheck.load.transport.settings import MAX_BODY_BYTES, MAX_HEAD_BYTES, Deadlines, Tls
from loadcheck.load.transport.tls import client_context
from loadcheck.workflow.exchange import Exchange, Failure, Origin, Request

_now_ns = time.monotonic_ns

_FAILURES: tuple[tuple[type[Exception], Failure], ...] = (
    (httpx.ConnectError, Failure.CONNECT),
    (httpx.ConnectTimeout, Failure.CONNECT),
    (httpx.PoolTimeout, Failure.CONNECT),
    (httpx.UnsupportedProtocol, Failure.CONNECT),
    (httpx.LocalProtocolError, Failure.CONNECT),
    (httpx.ProxyError, Failure.CONNECT),
    (httpx.ReadTimeout, Failure.TIMEOUT),
    (httpx.WriteTimeout, Failure.TIMEOUT),
    (TimeoutError, Failure.TIMEOUT),
    (httpx.ReadError, Failure.LOST),
    (httpx.WriteError, Failure.LOST),
    (httpx.CloseError, Failure.LOST),
    (httpx.TooManyRedirects, Failure.UNREADABLE),
)
_CLOSED_EARLY = ("disconnected", "closed", "incomplete")


class HttpxTransport:
    """Implements :class:`~loadcheck.load.transport.LoadTransport`, and one request at a time.

    Attributes:
        stale_retries: Always 0: httpx looks whether a connection has been closed before it is used.
    """

    def __init__(
        self,
        tasks: anyio.abc.TaskGroup,
        client: httpx.AsyncClient,
        deadlines: Deadlines,
        *,
        compress: bool = False,
        server_name: str | None = None,
    ) -> None:
        self._tasks = tasks
        self._client = client
        self._deadlines = deadlines
        self._compress = compress
        self._extensions = {} if server_name is None else {"sni_hostname": server_name}
        self._scopes: set[anyio.CancelScope] = set()
        self._closing = False
        self.stale_retries = 0

    def submit(self, request: Request, sink: Sink) -> None:
        """Send a request in a task of its own."""
        self._tasks.start_soon(self._carry, request, sink)

    async def warm(self, origin: Origin, connections: int) -> None:
        """Do nothing: httpx opens connections when they are needed."""

    def abort(self) -> None:
        """Cancel every request under way and refuse further ones."""
        self._closing = True
        for scope in list(self._scopes):
            scope.cancel()

    async def _carry(self, request: Request, sink: Sink) -> None:
        sink(await self.send(request))

    async def send(self, request: Request) -> Exchange:
        """Send one request and return what came of it; never raises for the network's sake."""
        exchange = Exchange(request)
        if self._closing:
            return _failed(exchange, Failure.CONNECT, "the run ended before it was sent")
        with anyio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                await self._exchange(exchange)
            finally:
                self._scopes.discard(scope)
        if scope.cancelled_caught:
            if not exchange.sent_ns:
                return _failed(exchange, Failure.CONNECT, "the run ended before it was sent")
            return _failed(exchange, Failure.LOST, "the run ended before the answer came")
        return exchange

    async def _exchange(self, exchange: Exchange) -> None:
        deadlines = self._deadlines
        scope = anyio.CancelScope(deadline=anyio.current_time() + deadlines.waiting_s)

        async def trace(event: str, told: Mapping[str, Any]) -> None:
            # a connection is there, and the request goes out: from now on its own deadline counts
            if (
                event.endswith("send_request_headers.started")
                and not exchange.sent_ns
                and told["request"].method != b"CONNECT"  # that asks a proxy for the connection
            ):
                exchange.sent_ns = _now_ns()
                scope.deadline = anyio.current_time() + deadlines.request_s

        try:
            with scope:
                await self._converse(exchange, trace)
        except (httpx.HTTPError, OSError) as error:
            failure = _failure(error) if exchange.sent_ns else Failure.CONNECT
            refused = isinstance(error, httpx.LocalProtocolError)  # by httpx, before it was sent
            if failure is Failure.CONNECT and exchange.sent_ns and not refused:
                failure = Failure.LOST  # behind a redirect: the first server did get the request
            _failed(exchange, failure, _detail(error, exchange, failure, deadlines))
        except CodingError as error:
            _failed(exchange, Failure.UNREADABLE, str(error))
        if scope.cancelled_caught:
            if exchange.sent_ns:
                detail = f"no complete answer within {deadlines.request_s:g} s"
                _failed(exchange, Failure.TIMEOUT, detail)
            else:
                _failed(exchange, Failure.CONNECT, "no connection became free in time")

    async def _converse(self, exchange: Exchange, trace: Any) -> None:
        request = exchange.request
        if self._compress:
            head, body = compressed(request)
            request = request._replace(head=head, body=body)
        # made by hand, so that nothing goes out but what the workflow says
        outgoing = httpx.Request(
            request.method,
            request.url,
            headers=request.headers,
            content=request.body or None,
            extensions={"trace": trace, **self._extensions},
        )
        response = await self._client.send(outgoing, stream=True)
        try:
            head_bytes = sum(len(name) + len(value) + 4 for name, value in response.headers.raw)
            if head_bytes > MAX_HEAD_BYTES:
                raise CodingError(f"the answer's head exceeds {MAX_HEAD_BYTES:,} bytes")
            pieces, size = [], 0
            async for piece in response.aiter_raw():
                size += len(piece)
                if size > MAX_BODY_BYTES:
                    raise CodingError(f"the answer's body exceeds {MAX_BODY_BYTES:,} bytes")
                pieces.append(piece)
        finally:
            await response.aclose()
        exchange.done_ns = _now_ns()
        exchange.status = response.status_code
        exchange.headers = [(name.lower(), value) for name, value in response.headers.raw]
        coding = response.headers.get("content-encoding", "")
        exchange.body = decoded(b"".join(pieces), coding.encode("latin-1"))


def _failure(error: Exception) -> Failure:
    """Return what an exception of httpx proves about the request."""
    for kind, failure in _FAILURES:
        if isinstance(error, kind):
            return failure
    if isinstance(error, httpx.RemoteProtocolError):
        early = any(word in str(error).lower() for word in _CLOSED_EARLY)
        return Failure.LOST if early else Failure.UNREADABLE
    return Failure.LOST


def _detail(error: Exception, exchange: Exchange, failure: Failure, deadlines: Deadlines) -> str:
    if isinstance(error, httpx.ReadTimeout):
        return f"nothing more of an answer within {deadlines.read_s or deadlines.request_s:g} s"
    if isinstance(error, httpx.WriteTimeout):
        seconds = deadlines.write_s or deadlines.request_s
        return f"the request could not be written within {seconds:g} s"
    words = str(error) or type(error).__name__
    if failure is Failure.CONNECT:
        return f"cannot connect to {exchange.request.origin}: {words}"
    return f"no complete answer: {words}"


def _failed(exchange: Exchange, failure: Failure, detail: str) -> Exchange:
    exchange.done_ns = _now_ns()
    exchange.status = 0
    exchange.failure = failure
    exchange.detail = detail
    return exchange


@asynccontextmanager
async def httpx_transport(
    *,
    max_connections: int,
    deadlines: Deadlines,
    tls: Tls | None = None,
    compress: bool = False,
    proxy: str | None = None,
    http2: bool = False,
    redirects: bool = False,
    proxies: Proxies | None = None,
    consent: bool = False,
) -> AsyncIterator[HttpxTransport]:
    """Open the httpx transport for the length of a block.

    Args:
        max_connections: The most connections; further requests wait for one.
        deadlines: How long an attempt may take.
        tls: How https servers are verified.
        compress: Whether request bodies are gzipped.
        proxy: URL of the proxy through which everything goes.
        http2: Speak HTTP/2 where the server does, over TLS.
        redirects: Follow them.
        proxies: Those that the environment names, for what is not loopback; None: not used.
        consent: Whether requests, redirected ones among them, may leave this machine.
    """
    limits = httpx.Limits(
        max_connections=max_connections, max_keepalive_connections=max_connections
    )
    timeout = httpx.Timeout(
        connect=deadlines.connect_s,
        write=deadlines.write_s,
        read=deadlines.read_s,
        pool=deadlines.waiting_s,
    )
    connect = partial(
        httpx.AsyncHTTPTransport,
        client_context(Tls() if tls is None else tls),
        http2=http2,
        limits=limits,
        trust_env=False,
    )
    routes = Routes(proxy=proxy, proxies=proxies, consent=consent)
    async with (
        httpx.AsyncClient(
            transport=RoutedTransport(routes, lambda through: connect(proxy=through)),
            timeout=timeout,
            follow_redirects=redirects,
            trust_env=False,
        ) as client,
        anyio.create_task_group() as tasks,
    ):
        transport = HttpxTransport(
            tasks,
            client,
            deadlines,
            compress=compress,
            server_name=None if tls is None else tls.server_name,
        )
        try:
            yield transport
        finally:
            transport.abort()
