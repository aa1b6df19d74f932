"""The listening socket and its connections: requests, also pipelined, answered in order.

This is the hot path: at 20,000 uploads a second a request has 50 µs for everything, which is why
it is an :class:`asyncio.Protocol` over httptools and not an ASGI server. The emulated clock follows
real time until it is moved.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import cast

import httptools

from loadcheck.emulator.message import Answer, Application, Delivery, Request, json_answer


class Clock:
    """Milliseconds since the epoch.

    The wall clock is read once; from then on the monotonic clock counts, so that a step of the
    machine's clock in the middle of a run does not make events appear late or early.
    """

    __slots__ = ("_origin_ns", "_since_ns", "_speed", "_stopped_ms")

    def __init__(self) -> None:
        self._since_ns = time.monotonic_ns()
        self._origin_ns = time.time_ns()
        self._speed = 1.0
        self._stopped_ms: int | None = None

    def now_ms(self) -> int:
        """Return the emulated time."""
        if self._stopped_ms is not None:
            return self._stopped_ms
        passed_ns = time.monotonic_ns() - self._since_ns
        if self._speed != 1.0:
            passed_ns = int(passed_ns * self._speed)
        return (self._origin_ns + passed_ns) // 1_000_000

    @property
    def speed(self) -> float:
        """Emulated seconds per real second."""
        return self._speed

    def set_speed(self, speed: float) -> None:
        """Let time pass faster, or slower, from now on; delays of answers stay real."""
        now_ms, self._speed = self.now_ms(), speed
        self.set_to(now_ms)

    @property
    def stopped(self) -> bool:
        """Whether time passes only when it is set or advanced."""
        return self._stopped_ms is not None

    def stop(self) -> None:
        """Stop until moved or started."""
        self._stopped_ms = self.now_ms()

    def start(self) -> None:
        """Resume from the present emulated time."""
        now_ms, self._stopped_ms = self.now_ms(), None
        self.set_to(now_ms)

    def advance(self, ms: float) -> None:
        """Move the time forward."""
        self.set_to(self.now_ms() + int(ms))

    def set_to(self, epoch_ms: int) -> None:
        """Set the emulated time, in milliseconds since the epoch."""
        if self._stopped_ms is not None:
            self._stopped_ms = epoch_ms
        self._origin_ns, self._since_ns = epoch_ms * 1_000_000, time.monotonic_ns()


MAX_BODY_BYTES = 32 * 1024 * 1024
MAX_HEAD_BYTES = 64 * 1024
_MAX_WAITING = 64
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER with no time to linger: RST, not FIN

_log = logging.getLogger(__name__)


class Connection(asyncio.Protocol):
    """Reads requests off a socket and writes their answers."""

    __slots__ = (
        "_application",
        "_body",
        "_body_bytes",
        "_busy",
        "_connections",
        "_ending",
        "_expects_continue",
        "_head_bytes",
        "_headers",
        "_in_head",
        "_parser",
        "_paused",
        "_target",
        "_task",
        "_transport",
        "_waiting",
    )

    def __init__(self, application: Application, connections: set[Connection]) -> None:
        self._application = application
        self._connections = connections
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[tuple[Request, bool]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._busy = False
        self._paused = False
        self._ending = False
        self._begin()

    def _begin(self) -> None:
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._head_bytes = 0
        self._in_head = True
        self._expects_continue = False

    # ---- the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register the connection."""
        self._transport = cast("asyncio.Transport", transport)
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the loop's signature
        """Forget the connection and cancel its pending answer."""
        self._connections.discard(self)
        self._transport = None
        self._waiting.clear()
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        """Feed the parser, which calls the methods below."""
        if self._ending:
            return
        self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._ending = True  # no protocol to upgrade to: answered as HTTP/1.1, then closed
        except httptools.HttpParserError:
            self._refuse(400, "Bad request")
        else:
            # the parser itself buffers an incomplete header field, without bounds
            if self._in_head and self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(431, "Request header too large")

    def abort(self) -> None:
        """Close the connection without waiting for anything."""
        if self._transport is not None:
            self._transport.abort()

    # ---- the parser calls

    def on_url(self, url: bytes) -> None:
        """Collect the request target; it may come in pieces."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect one header field."""
        name = name.lower()
        self._headers.append((name, value))
        if name == b"expect" and value.lower() == b"100-continue":
            self._expects_continue = True

    def on_headers_complete(self) -> None:
        """Send 100 if the client waits for it before the body (RFC 9110 section 10.1.1)."""
        self._in_head = False
        if self._expects_continue and self._transport is not None and not self._busy:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """Collect a piece of the body, up to the maximum size; the rest is read and discarded."""
        self._body_bytes += len(body)
        if self._body_bytes <= MAX_BODY_BYTES:
            self._body.append(body)

    def on_message_complete(self) -> None:
        """Answer the request, or queue it behind those not answered yet."""
        target, _, query = self._target.partition(b"?")
        body = self._body
        request = Request(
            self._parser.get_method().decode("ascii"),
            target.decode("latin-1"),
            query,
            self._headers,
            body[0] if len(body) == 1 else b"".join(body),
            overflow=self._body_bytes > MAX_BODY_BYTES,
        )
        keep_alive = self._parser.should_keep_alive()
        self._begin()
        if self._busy:
            self._waiting.append((request, keep_alive))
            if len(self._waiting) > _MAX_WAITING and self._transport is not None:
                self._paused = True
                self._transport.pause_reading()
        else:
            self._answer(request, keep_alive=keep_alive)

    # ---- answering

    def _answer(self, request: Request, *, keep_alive: bool) -> None:
        try:
            answer = self._application(request)
        except Exception:  # noqa: BLE001 - a bug here must not look like a bad request
            answer = _failed(request)
        if isinstance(answer, Answer) and not answer.delay_ms:
            self._write(request, answer, keep_alive=keep_alive)
            return
        self._busy = True
        self._task = asyncio.get_running_loop().create_task(
            self._answer_later(request, answer, keep_alive=keep_alive)
        )

    async def _answer_later(
        self, request: Request, pending: Answer | Awaitable[Answer], *, keep_alive: bool
    ) -> None:
        try:
            answer = pending if isinstance(pending, Answer) else await pending
        except Exception:  # noqa: BLE001 - a bug here must not look like a lost connection
            answer = _failed(request)
        if answer.delay_ms:
            await asyncio.sleep(answer.delay_ms / 1000)
        self._task = None
        self._busy = False
        self._write(request, answer, keep_alive=keep_alive)
        while self._waiting and not self._busy:
            waiting, keep_alive = self._waiting.popleft()
            self._answer(waiting, keep_alive=keep_alive)
        if self._paused and not self._waiting and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    def _write(self, request: Request, answer: Answer, *, keep_alive: bool) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        keep_alive = keep_alive and not self._ending
        data = answer.encode(keep_alive=keep_alive, head_only=request.method == "HEAD")
        if answer.delivery is Delivery.WHOLE:
            transport.write(data)
            if not keep_alive:
                self._end()
            return
        if answer.delivery is Delivery.HALF:
            transport.write(data[: len(data) - len(answer.body) // 2 - 1])
        self._reset(transport)

    def _end(self) -> None:
        self._ending = True
        self._waiting.clear()
        if self._transport is not None:
            self._transport.close()

    def _reset(self, transport: asyncio.Transport) -> None:
        handle = transport.get_extra_info("socket")
        with socket.socket(fileno=socket.dup(handle.fileno())) as twin:
            twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._ending = True
        self._waiting.clear()
        transport.abort()

    def _refuse(self, status: int, text: str) -> None:
        if self._transport is not None and not self._busy:
            answer = json_answer(status, {"code": status, "error": text})
            self._transport.write(answer.encode(keep_alive=False))
        self._end()


def _failed(request: Request) -> Answer:
    """Log the exception being handled, and return a 500."""
    _log.exception("%s %s failed", request.method, request.path)
    return json_answer(500, {"code": 500, "error": "Internal Server Error"})


_BACKLOG = 4096


@asynccontextmanager
async def listening(
    application: Application, host: str, port: int, bound: socket.socket | None = None
) -> AsyncIterator[str]:
    """Serve for the length of a block, and yield the base URL.

    Raises:
        OSError: The address is not available.
    """
    connections: set[Connection] = set()

    def connected() -> Connection:
        return Connection(application, connections)

    loop = asyncio.get_running_loop()
    if bound is None:
        server = await loop.create_server(connected, host, port, backlog=_BACKLOG)
    else:
        server = await loop.create_server(connected, sock=bound, backlog=_BACKLOG)
    try:
        shown = f"[{host}]" if ":" in host else host
        yield f"http://{shown}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for connection in list(connections):
            connection.abort()
