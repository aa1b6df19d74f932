"""Requests through httpx, at a tenth of the speed: for queries, proxies and all wire cannot do."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import anyio
import anyio.abc
import h2.errors
import h2.events
import httpcore
import httpx

from loadcheck.load.transport import (
    CLOSED_IDLE,
    MAX_BODY_BYTES,
    MAX_HEAD_BYTES,
    CodingError,
    Sink,
    TransportSettings,
    client_context,
    compress,
    decode,
    kept_s,
)
from loadcheck.load.transport.failures import failure_of, in_words, reason
from loadcheck.load.transport.routes import Proxies, RoutedTransport, Routes
from loadcheck.load.transport.streams import Attempt, Streams, current
from loadcheck.scenario.model import Timeouts
from loadcheck.workflow.exchange import (
    NEVER_SENT,
    Exchange,
    Failure,
    Origin,
    Request,
    RetriedExchange,
)

_now_ns = time.monotonic_ns
_TRIES_UNSENT = 2
"""The most retries of a request that an HTTP/2 server has certainly not processed."""


class HttpxTransport:
    """Implements :class:`~loadcheck.load.transport.LoadTransport`; also sends single requests.

    Attributes:
        stale_retries: Requests that were sent a second time because the connection of the first
            had been idle and was being closed when it was used.
    """

    def __init__(
        self,
        tasks: anyio.abc.TaskGroup,
        client: httpx.AsyncClient,
        settings: TransportSettings,
        streams: Streams,
    ) -> None:
        self._tasks = tasks
        self._client = client
        self._streams = streams
        self._settings = settings
        server_name = settings.tls.server_name
        self._extensions = {} if server_name is None else {"sni_hostname": server_name}
        self._scopes: set[anyio.CancelScope] = set()
        self._closing = False
        self.stale_retries = 0

    def submit(self, request: Request, sink: Sink) -> None:
        """Send a request in a task of its own."""
        self._tasks.start_soon(self._execute, request, sink)

    async def warm(self, origin: Origin, connections: int) -> None:
        """Do nothing: httpx opens connections when they are needed."""

    def abort(self) -> None:
        """Cancel every request in flight and refuse further ones."""
        self._closing = True
        for scope in list(self._scopes):
            scope.cancel()

    def _ended(self) -> bool:
        return self._closing

    async def _execute(self, request: Request, sink: Sink) -> None:
        sink(await self.send(request))

    async def send(self, request: Request) -> Exchange:
        """Send one request and return its exchange; never raises because of the network."""
        exchange = Exchange(request)
        if self._closing:
            return _failed(exchange, Failure.CONNECT, "the run ended before it was sent")
        attempt = await self._within_scope(exchange)
        for _ in range(_TRIES_UNSENT):
            # an HTTP/2 server says what it has not processed: then it counts as never sent
            if not (exchange.failure is Failure.CONNECT and attempt.http2) or self._ended():
                break
            exchange = Exchange(request)
            attempt = await self._within_scope(exchange)
        if not _was_stale(exchange, attempt):
            return exchange
        if self._ended() or request.step not in self._settings.repeatable:
            if exchange.status:
                _failed(exchange, Failure.LOST, f"no complete answer: {CLOSED_IDLE}")
            return exchange
        self.stale_retries += 1
        self._streams.retire()
        again = RetriedExchange(request, sent_ns=exchange.sent_ns)
        await self._within_scope(again)
        if again.failure in NEVER_SENT:
            _failed(again, Failure.LOST, f"{CLOSED_IDLE}, and then: {again.detail}")
        return again

    async def _within_scope(self, exchange: Exchange) -> Attempt:
        attempt = Attempt()
        with anyio.CancelScope() as scope:
            self._scopes.add(scope)
            token = current.set(attempt)
            try:
                await self._exchange(exchange, attempt)
            finally:
                current.reset(token)
                self._scopes.discard(scope)
        if scope.cancelled_caught:
            if attempt.left:
                _failed(exchange, Failure.LOST, "the run ended before the answer came")
            else:
                _failed(exchange, Failure.CONNECT, "the run ended before it was sent")
        if not attempt.left and not exchange.repeated:
            exchange.sent_ns = 0
        return attempt

    async def _exchange(self, exchange: Exchange, attempt: Attempt) -> None:
        settings = self._settings
        scope = anyio.CancelScope(deadline=anyio.current_time() + settings.waiting_s)

        async def trace(event: str, info: Mapping[str, Any]) -> None:
            if event.endswith("send_request_headers.failed"):
                attempt.failed_to_leave(info["exception"])
            # the request goes out on a connection: from now on its own deadline counts
            elif event.endswith("send_request_headers.started") and attempt.leaves(event, info):
                exchange.sent_ns = exchange.sent_ns or _now_ns()
                scope.deadline = anyio.current_time() + settings.request_s(exchange.request.step)

        try:
            with scope:
                await self._exchange_once(exchange, attempt, trace)
        except CodingError as error:
            _failed(exchange, Failure.UNREADABLE, str(error))
        except Exception as error:  # noqa: BLE001  # what proves nothing ends nothing but this
            if attempt.left and attempt.hops == 1 and _unprocessed(error, attempt.stream_id):
                attempt.left = False
            failure = failure_of(error, sent=attempt.left)
            _failed(exchange, failure, _detail(error, exchange, attempt, settings.timeouts))
        if scope.cancelled_caught:
            if attempt.left:
                detail = (
                    f"no complete answer within {settings.request_s(exchange.request.step):g} s"
                )
                _failed(exchange, Failure.TIMEOUT, detail)
            else:
                _failed(exchange, Failure.CONNECT, "no connection became free in time")

    async def _exchange_once(self, exchange: Exchange, attempt: Attempt, trace: Any) -> None:
        request = exchange.request
        if self._settings.compress == "gzip":
            head, body = compress(request)
            request = request._replace(head=head, body=body)
        # built by hand, so that nothing is sent but what the workflow says
        outgoing = httpx.Request(
            request.method,
            request.url,
            headers=request.headers,
            content=request.body or None,
            extensions={"trace": trace, **self._extensions},
        )
        response = await self._client.send(outgoing, stream=True)
        try:
            if attempt.unasked:
                attempt.drop()
                raise CodingError("an answer had come before the request was sent")
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
        coding = response.headers.get("content-encoding", "")
        body = decode(b"".join(pieces), coding.encode("latin-1"))
        exchange.done_ns = _now_ns()
        exchange.status = response.status_code
        exchange.headers = [(name.lower(), value) for name, value in response.headers.raw]
        exchange.body = body
        kept = response.headers.get("keep-alive")
        if kept is not None and (max_idle_s := kept_s(kept)) is not None:
            attempt.keep(max_idle_s)


def _was_stale(exchange: Exchange, attempt: Attempt) -> bool:
    """Return whether an idle connection was closed without a response to a request.

    A 408 that ends such a connection was sent because it was idle, not in response to the request.
    """
    if exchange.failure in (Failure.LOST, Failure.UNREADABLE):
        return attempt.stale and not attempt.http2
    closing = "close" in (exchange.header("connection") or "").lower()
    return exchange.status == HTTPStatus.REQUEST_TIMEOUT and closing and attempt.rested


def _unprocessed(error: Exception, stream_id: int) -> bool:
    """Return whether a server has said that it did not process a request (RFC 9113 8.7)."""
    event = _server_event(error)
    if isinstance(event, h2.events.ConnectionTerminated):
        return stream_id > (event.last_stream_id or 0)
    if isinstance(event, h2.events.StreamReset):
        return event.error_code == h2.errors.ErrorCodes.REFUSED_STREAM
    return False


def _detail(error: Exception, exchange: Exchange, attempt: Attempt, timeouts: Timeouts) -> str:
    if not attempt.left:
        return _unsent_detail(error, exchange.request.origin, attempt)
    if isinstance(error, httpx.ReadTimeout):
        return f"nothing more of an answer within {timeouts.read_s or timeouts.request_s:g} s"
    if isinstance(error, httpx.WriteTimeout):
        seconds = timeouts.write_s or timeouts.request_s
        return f"the request could not be written within {seconds:g} s"
    if isinstance(error, httpx.TooManyRedirects) and error.request is not None:
        return f"no complete answer: {reason(error)} (the last: {error.request.url.host})"
    return f"no complete answer: {_http2_end(error) if attempt.http2 else reason(error)}"


def _http2_end(error: Exception) -> str:
    """Return how a request over HTTP/2 ended, in clearer words than the library's."""
    event = _server_event(error)
    if isinstance(event, h2.events.StreamReset):
        return f"the server reset the stream (HTTP/2 error {int(event.error_code or 0)})"
    if isinstance(event, h2.events.ConnectionTerminated) or "ConnectionState.CLOSED" in str(error):
        return "the server ended the HTTP/2 connection"
    return reason(error)


def _server_event(error: Exception) -> Any:
    """Return the HTTP/2 event behind an exception; None if there is none."""
    cause = error.__cause__
    return cause.args[0] if isinstance(cause, httpcore.RemoteProtocolError) and cause.args else None


def _unsent_detail(error: Exception, origin: Origin, attempt: Attempt) -> str:
    where, dialed = str(origin), attempt.dialed
    if dialed is not None and dialed != (origin.host, origin.port):
        where = f"the proxy {dialed[0]}:{dialed[1]}"
    if isinstance(error, httpx.ProxyError):
        return f"{where} refused the connection to {origin}: {error}"
    if attempt.http2:
        return f"{origin} was closing its HTTP/2 connection: the request was not taken"
    return f"cannot connect to {where}: {in_words(error)}"


def _failed(exchange: Exchange, failure: Failure, detail: str) -> Exchange:
    exchange.done_ns = _now_ns()
    exchange.status = 0
    exchange.headers, exchange.body = [], b""
    exchange.failure = failure
    exchange.detail = detail
    return exchange


@asynccontextmanager
async def httpx_transport(
    settings: TransportSettings, environment: Mapping[str, str] = os.environ
) -> AsyncIterator[HttpxTransport]:
    """Open the httpx transport for the length of a block.

    Args:
        settings: How requests are sent.
        environment: Names the proxies, if the settings say that those are used.
    """
    timeouts = settings.timeouts
    limits = httpx.Limits(
        max_connections=settings.max_connections,
        max_keepalive_connections=settings.max_connections,
        keepalive_expiry=timeouts.max_idle_s,
    )
    streams = Streams(timeouts.max_idle_s)
    timeout = httpx.Timeout(
        connect=timeouts.connect_s,
        write=timeouts.write_s,
        read=timeouts.read_s,
        pool=settings.waiting_s,
    )
    context = client_context(settings.tls)

    def connect(through: httpx.Proxy | None) -> httpx.AsyncHTTPTransport:
        return streams.watch(
            httpx.AsyncHTTPTransport(
                context, http2=settings.http2, limits=limits, trust_env=False, proxy=through
            )
        )

    proxies = Proxies(environment) if settings.proxies else None
    routes = Routes(proxy=settings.proxy, proxies=proxies, consent=settings.consent)
    async with (
        httpx.AsyncClient(
            transport=RoutedTransport(routes, connect),
            timeout=timeout,
            follow_redirects=settings.redirects,
            trust_env=False,
        ) as client,
        anyio.create_task_group() as tasks,
    ):
        transport = HttpxTransport(tasks, client, settings, streams)
        try:
            yield transport
        finally:
            transport.abort()
