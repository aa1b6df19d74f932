"""Requests through httpx, at a tenth of the pace: for queries, proxies and what wire cannot do."""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.abc
import httpx

from loadcheck.load.transport import Sink
from loadcheck.workflow.exchange import Exchange, Failure, Request

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
    (httpx.DecodingError, Failure.UNREADABLE),
    (httpx.TooManyRedirects, Failure.UNREADABLE),
)
_CLOSED_EARLY = ("disconnected", "closed", "incomplete")


class HttpxTransport:
    """Implements :class:`~loadcheck.load.transport.Transport`, and one request at a time."""

    def __init__(
        self, tasks: anyio.abc.TaskGroup, client: httpx.AsyncClient, request_s: float
    ) -> None:
        self._tasks = tasks
        self._client = client
        self._request_s = request_s
        self._scopes: set[anyio.CancelScope] = set()
        self._closing = False

    def submit(self, request: Request, sink: Sink) -> None:
        """Send a request in a task of its own."""
        self._tasks.start_soon(self._carry, request, sink)

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
            return _failed(exchange, Failure.LOST, "the run ended before the answer came")
        return exchange

    async def _exchange(self, exchange: Exchange) -> None:
        request = exchange.request
        exchange.sent_ns = _now_ns()
        try:
            with anyio.fail_after(self._request_s):
                response = await self._client.request(
                    request.method,
                    request.url,
                    headers=request.headers,
                    content=request.body or None,
                )
        except (httpx.HTTPError, TimeoutError, OSError) as error:
            failure = _failure(error)
            if failure is Failure.CONNECT:
                exchange.sent_ns = 0
            _failed(exchange, failure, _detail(error, exchange, self._request_s))
            return
        exchange.done_ns = _now_ns()
        exchange.status = response.status_code
        exchange.headers = [(name.lower(), value) for name, value in response.headers.raw]
        exchange.body = response.content


def _failure(error: Exception) -> Failure:
    """Return what an exception of httpx proves about the request."""
    for kind, failure in _FAILURES:
        if isinstance(error, kind):
            return failure
    if isinstance(error, httpx.RemoteProtocolError):
        early = any(word in str(error).lower() for word in _CLOSED_EARLY)
        return Failure.LOST if early else Failure.UNREADABLE
    return Failure.LOST


def _detail(error: Exception, exchange: Exchange, request_s: float) -> str:
    if isinstance(error, TimeoutError | httpx.ReadTimeout | httpx.WriteTimeout):
        return f"no complete answer within {request_s:g} s"
    words = str(error) or type(error).__name__
    if _failure(error) is Failure.CONNECT:
        return f"cannot connect to {exchange.request.origin}: {words}"
    return f"no complete answer: {words}"


def _failed(exchange: Exchange, failure: Failure, detail: str) -> Exchange:
    exchange.done_ns = _now_ns()
    exchange.failure = failure
    exchange.detail = detail
    return exchange


@asynccontextmanager
async def httpx_transport(
    *,
    max_connections: int,
    connect_s: float,
    request_s: float,
    tls: ssl.SSLContext | None = None,
    use_proxies: bool = False,
) -> AsyncIterator[HttpxTransport]:
    """Open the httpx transport for the length of a block.

    Args:
        max_connections: The most connections; further requests wait for one.
        connect_s: Deadline for opening a connection, TLS included.
        request_s: Deadline of a request, from asking for a connection to the last byte read.
        tls: Context for https origins; None: verified against certifi's certificates.
        use_proxies: Follow the environment's proxy variables and read ``.netrc``.
    """
    limits = httpx.Limits(
        max_connections=max_connections, max_keepalive_connections=max_connections
    )
    timeout = httpx.Timeout(request_s, connect=connect_s)
    async with (
        httpx.AsyncClient(
            limits=limits,
            timeout=timeout,
            verify=True if tls is None else tls,
            trust_env=use_proxies,
        ) as client,
        anyio.create_task_group() as tasks,
    ):
        transport = HttpxTransport(tasks, client, request_s)
        try:
            yield transport
        finally:
            transport.abort()
