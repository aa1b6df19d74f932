"""Watches httpx's sockets: whether a connection had rested, and whether a response had begun.

httpx raises an exception, but does not say what had been read by then. So its network backend is
one that counts.
"""

from __future__ import annotations

import ssl
import time
import weakref
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from typing import Any

import h2.exceptions
import httpcore
import httpx

from loadcheck.load.transport import CUT_OFF, RESTED_NS, cut_off

_now_ns = time.monotonic_ns
_REFUSED_BY_US = (httpcore.LocalProtocolError, h2.exceptions.H2Error)


class Attempt:
    """One sending of a request.

    Attributes:
        left: Whether a byte of it may have left.
        hops: How often a request went out: more than once after a redirect.
        http2: Whether it goes over HTTP/2.
        stream_id: Its stream id in HTTP/2; 0 without.
        dialed: Host and port of the connection that was opened last; None: none was.
    """

    def __init__(self) -> None:
        self.left = False
        self.hops = 0
        self.http2 = False
        self.stream_id = 0
        self.dialed: tuple[str, int] | None = None
        self._stream: _Stream | None = None
        self._read_before = 0
        self._rested = False

    @property
    def stale(self) -> bool:
        """Whether it met a connection that had rested, and from which nothing has come since."""
        stream = self._stream
        return self.rested and stream is not None and stream.read_bytes == self._read_before

    @property
    def rested(self) -> bool:
        """Whether it met a connection that had been idle for a while, and was sent just once."""
        return self._rested and self.hops == 1

    def leaves(self, event: str, info: Mapping[str, Any]) -> bool:
        """Note that a head is about to be written; return whether it is the request's first."""
        if info["request"].method == b"CONNECT":  # it requests the connection from a proxy
            return False
        self.http2 = event.startswith("http2.")
        self.stream_id = info.get("stream_id", 0)
        self.hops += 1
        first, self.left = not self.left, True
        return first

    def failed_to_leave(self, error: BaseException) -> None:
        """Note that writing a head failed: if it was refused locally, nothing of it was written."""
        if self.hops == 1 and isinstance(error, _REFUSED_BY_US):
            self.left = False

    @property
    def unasked(self) -> bool:
        """Whether a response was read before the request was written: it is to another, or none."""
        stream = self._stream
        return stream is not None and stream.read_bytes == self._read_before and not self.http2

    def drop(self) -> None:
        """Use its connection for no further request."""
        if self._stream is not None:
            self._stream.max_idle_ns = 0

    def keep(self, max_idle_s: float) -> None:
        """Note how long the server keeps its connection."""
        if self._stream is not None:
            self._stream.max_idle_ns = min(self._stream.max_idle_ns, int(max_idle_s * 1e9))

    def written_to(self, stream: _Stream, now_ns: int) -> None:
        """Note the connection that it is about to be written to."""
        if self._stream is stream:
            return
        self._stream = stream
        self._read_before = stream.read_bytes
        self._rested = bool(stream.read_bytes) and now_ns - stream.used_ns >= RESTED_NS


current: ContextVar[Attempt | None] = ContextVar("current", default=None)
"""The attempt that the current task makes."""


class _Stream(httpcore.AsyncNetworkStream):
    def __init__(self, inner: httpcore.AsyncNetworkStream, streams: Streams) -> None:
        self._inner = inner
        self._streams = streams
        self.read_bytes = 0
        self.used_ns = _now_ns()
        self.max_idle_ns = streams.max_idle_ns
        streams.opened.add(self)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        data = await self._inner.read(max_bytes, timeout)
        self.read_bytes += len(data)
        self.used_ns = _now_ns()
        if not data and cut_off(self._inner.get_extra_info("ssl_object")):
            raise httpcore.ReadError(CUT_OFF)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        attempt, now_ns = current.get(), _now_ns()
        if attempt is not None:
            attempt.written_to(self, now_ns)
        self.used_ns = now_ns
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore.AsyncNetworkStream:
        inner = await self._inner.start_tls(ssl_context, server_hostname, timeout)
        return _Stream(inner, self._streams)

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable" and _now_ns() - self.used_ns > self.max_idle_ns:
            return True  # a connection readable while idle is being closed: it is not used again
        try:
            return self._inner.get_extra_info(info)
        except OSError:
            # its peer reset it just now: that ends this connection only
            return True if info == "is_readable" else None


class Streams(httpcore.AsyncNetworkBackend):
    """Opens connections that count what is read.

    Args:
        max_idle_s: A connection that has been idle for longer is not used.
    """

    def __init__(self, max_idle_s: float) -> None:
        self._backend = httpcore.AnyIOBackend()
        self.max_idle_ns = int(max_idle_s * 1e9)
        self.opened: weakref.WeakSet[_Stream] = weakref.WeakSet()

    def watch(self, transport: httpx.AsyncHTTPTransport) -> httpx.AsyncHTTPTransport:
        """Have this backend open a transport's connections; return the transport."""
        # httpx has no parameter for it; without it no test of stale connections passes
        transport._pool._network_backend = self  # noqa: SLF001
        return transport

    def retire(self) -> None:
        """Use no connection again that has rested for :data:`RESTED_NS` or longer."""
        oldest_ns = _now_ns() - RESTED_NS
        for stream in self.opened:
            if stream.used_ns <= oldest_ns:
                stream.max_idle_ns = 0

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Open a TCP connection."""
        attempt = current.get()
        if attempt is not None:
            attempt.dialed = host, port
        return _Stream(
            await self._backend.connect_tcp(host, port, timeout, local_address, socket_options),
            self,
        )

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._backend.sleep(seconds)
