"""One HTTP/1.1 connection on the event loop's protocols: writes a request, reads its response."""

from __future__ import annotations

import asyncio
import re
import time
from typing import NamedTuple, Protocol, cast

import httptools

from loadcheck.load.transport import (
    CLOSED_IDLE,
    CUT_OFF,
    MAX_BODY_BYTES,
    MAX_HEAD_BYTES,
    RESTED_NS,
    CodingError,
    Encode,
    Sink,
    TransportSettings,
    cut_off,
    decode,
    kept_s,
)
from loadcheck.load.transport.failures import reason
from loadcheck.workflow.exchange import (
    Exchange,
    Failure,
    Request,
    RetriedExchange,
    SentExchange,
)

_now_ns = time.monotonic_ns
_FIRST_STATUS = 100
_FIRST_FINAL_STATUS = 200
_REQUEST_TIMEOUT = 408
_NOTED = frozenset({b"content-encoding", b"transfer-encoding", b"keep-alive"})
_LINE = re.compile(
    rb"HTTP/1\.[01] [0-9]{3}\b.*|[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*"
)
"""A line of a head (RFC 9112 sections 4 and 5)."""
_QUOTED_BYTES = 80


class ConnectionOwner(Protocol):
    """Owner of a connection."""

    def ready(self, connection: Connection, /) -> None:
        """Take back a connection that can carry another request."""

    def keep(self, max_idle_s: float, /) -> None:
        """Use no connection that has been idle for longer: the server ends those."""

    def leaving(self, connection: Connection, /) -> None:
        """Give a connection no further request: it is about to end."""

    def closed(self, connection: Connection, /) -> None:
        """Forget a connection that has ended."""

    def stale(self, request: Request, sink: Sink, sent_ns: int, /) -> bool:
        """Resend a request that met a closing connection, if allowed; return whether it is."""


class _Known(NamedTuple):
    """A response head that has been parsed.

    Attributes:
        head: Its bytes, up to and including the empty line.
        head_bytes: How many they are.
        size: The length of the whole response.
        status: The parsed status code.
        headers: The parsed header fields.
    """

    head: bytes
    head_bytes: int
    size: int
    status: int
    headers: list[tuple[bytes, bytes]]


class Connection(asyncio.Protocol):
    """One connection: writes a request, reads its response, and is handed back.

    Args:
        owner: Its owner.
        active: The connections with a request in flight, in the order in which they were sent.
        encode: Returns the bytes of a request.

    Attributes:
        ended: Whether the server has ended it.
        sent_ns: When the request in flight was written.
        idle_since_ns: Since when it had been idle before that; 0 if it had just been opened.
    """

    __slots__ = (
        "_active",
        "_body",
        "_body_bytes",
        "_chunked",
        "_coding",
        "_complete",
        "_dirty",
        "_encode",
        "_exchange",
        "_head_bytes",
        "_headers",
        "_keep_alive",
        "_known",
        "_last_read_ns",
        "_owner",
        "_parser",
        "_sink",
        "_status",
        "_trailing_data",
        "_transport",
        "_trouble",
        "_until_close",
        "_without_body",
        "_writing",
        "_written_ns",
        "ended",
        "idle_since_ns",
        "sent_ns",
    )

    def __init__(
        self, owner: ConnectionOwner, active: dict[Connection, None], encode: Encode
    ) -> None:
        self._owner = owner
        self._active = active
        self._encode = encode
        self._parser = httptools.HttpResponseParser(self)
        self._exchange: Exchange | None = None
        self._sink: Sink | None = None
        self._writing = False
        self._written_ns = 0
        self._without_body = False
        self._known: _Known | None = None
        self.ended = False
        self.idle_since_ns = 0
        self.sent_ns = 0
        self._reset()

    def _reset(self) -> None:
        self._dirty = False
        self._status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._body: bytes | list[bytes] = b""
        self._body_bytes = 0
        self._coding = b""
        self._chunked = False
        self._trouble = ""
        self._last_read_ns = 0
        self._complete = False
        self._trailing_data = False
        self._keep_alive = False
        self._until_close = False

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Set up the connection."""
        # uvloop's transports are asyncio's by behaviour, not by inheritance
        self._transport = cast("asyncio.Transport", transport)
        # to be notified whenever the system does not take all bytes at once
        self._transport.set_write_buffer_limits(1, 0)

    def pause_writing(self) -> None:
        """Note that the system does not take all bytes at once."""
        self._writing = True

    def resume_writing(self) -> None:
        """Note that it has taken the rest."""
        self._writing = False
        self._written_ns = _now_ns()

    def data_received(self, data: bytes) -> None:
        """Feed the parser, which calls the methods below."""
        known = self._known
        if self._exchange is None:
            # unsolicited bytes: what follows could be taken for another response
            self._owner.leaving(self)
            self.abort()
            return
        if (
            known is not None
            and len(data) == known.size
            and data.startswith(known.head)
            and not self._last_read_ns
            and not self._without_body
        ):
            self._answered(known.status, known.headers, data[known.head_bytes :])
        else:
            self._read(data)

    def eof_received(self) -> bool:
        """Let the connection be closed."""
        self.ended = True
        self._owner.leaving(self)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """End the request in flight: answered if its response ends with the connection, or lost."""
        self.ended = True
        if self._exchange is not None:
            if not self._until_close or exc is not None:
                self._lose(exc)
            elif cut_off(self._transport.get_extra_info("ssl_object")):
                self._fail(Failure.LOST, f"no complete answer: {CUT_OFF}")
            else:
                self._finish()
        self._owner.closed(self)

    # what the parser calls

    def on_message_begin(self) -> None:
        """Begin a response."""
        if self._complete:
            # a second response to one request: it must not be taken for the next request's
            self._trailing_data = True
        elif self._status:
            self._headers = []  # the response before was an interim one
            self._status = 0
            self._coding = b""
            self._chunked = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect one header field."""
        if self._status:
            return  # a trailer, or another response's
        name = name.lower()
        if name in _NOTED:
            self._note(name, value)
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Note what the head says about the body."""
        if self._complete:
            return
        status = self._status = self._parser.get_status_code()
        self._keep_alive = self._parser.should_keep_alive()
        if status < _FIRST_FINAL_STATUS:
            if status < _FIRST_STATUS:
                self._trouble = f"not an HTTP/1.1 answer: there is no status code {status:03}"
            return
        if self._without_body:
            self._complete = True
        elif not self._keep_alive:
            names = {name for name, _ in self._headers}
            self._until_close = not names & {b"content-length", b"transfer-encoding"}

    def on_body(self, data: bytes) -> None:
        """Collect a piece of the body."""
        if self._complete:
            self._trailing_data = True
            return
        self._body_bytes += len(data)
        if not self._body:
            self._body = data
        elif isinstance(self._body, list):
            self._body.append(data)
        else:
            self._body = [self._body, data]

    def on_message_complete(self) -> None:
        """Note that the response is complete, unless it is an interim one (RFC 9110 15.2)."""
        if self._status >= _FIRST_FINAL_STATUS:
            self._complete = True

    # what the owner calls

    def send(self, request: Request, sink: Sink, first_sent_ns: int = 0) -> None:
        """Write a request; its response goes to ``sink``.

        Args:
            request: The request.
            sink: Receives the exchange.
            first_sent_ns: When it was written to a connection that was being closed; 0: never.
        """
        if self._dirty:
            self._reset()
        self._without_body = request.head.startswith(b"HEAD ")
        self._sink = sink
        data = self._encode(request)
        now = self.sent_ns = _now_ns()
        if first_sent_ns:
            self._exchange = RetriedExchange(request, sent_ns=first_sent_ns)
        else:
            self._exchange = SentExchange(request, now)
        self._active[self] = None
        self._transport.write(data)

    def overdue(self, now_ns: int, settings: TransportSettings) -> str:
        """Return which deadline the request in flight has missed, in words; "" if none."""
        timeouts = settings.timeouts
        request_s = timeouts.request_s
        if settings.steps_s and self._exchange is not None:
            request_s = settings.request_s(self._exchange.request.step)
        if now_ns - self.sent_ns >= request_s * 1e9:
            return f"no complete answer within {request_s:g} s"
        if self._writing:
            if timeouts.write_s and now_ns - self.sent_ns >= timeouts.write_s * 1e9:
                return f"the request could not be written within {timeouts.write_s:g} s"
        elif timeouts.read_s:
            since_ns = max(self.sent_ns, self._written_ns, self._last_read_ns)
            if now_ns - since_ns >= timeouts.read_s * 1e9:
                return f"nothing more of an answer within {timeouts.read_s:g} s"
        return ""

    def give_up(self, failure: Failure, detail: str) -> None:
        """Fail the request in flight; the connection cannot be used again."""
        self._transport.abort()
        self._fail(failure, detail)

    def abort(self) -> None:
        """Abort without a TLS shutdown."""
        self._transport.abort()

    # how a response is read

    def _read(self, data: bytes) -> None:
        """Feed the parser and act on the result."""
        self._dirty = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._trailing_data = True
            if not self._complete:
                if isinstance(error, httptools.HttpParserUpgrade):
                    self.give_up(Failure.UNREADABLE, "the server switched protocols")
                else:
                    quoted = _quoted(data, first=not self._last_read_ns) if not self._status else ""
                    detail = f"not an HTTP/1.1 answer: {error}{quoted}"
                    self.give_up(Failure.UNREADABLE, detail)
                return
        if self._trouble:
            self.give_up(Failure.UNREADABLE, self._trouble)
            return
        size = len(data) + self._head_bytes
        too_large = size > MAX_HEAD_BYTES or self._body_bytes > MAX_BODY_BYTES
        if too_large and self._refuse(size):
            return
        if self._complete:
            self._remember(data)
            self._finish()
            return
        self._last_read_ns = _now_ns()
        if self._status < _FIRST_FINAL_STATUS:
            self._head_bytes = size

    def _remember(self, data: bytes) -> None:
        """Keep the head of a response that came in one piece, for others that begin with it.

        Parsing is half the cost of a response, and most responses of a load have the same head,
        which would be parsed to the same result. The parser is in the same state before and after
        a whole response, so it need not see each.
        """
        if self._last_read_ns or self._trailing_data or self._without_body or not self._keep_alive:
            return
        if self._coding or self._chunked:
            return
        head_bytes = len(data) - self._body_bytes
        self._known = _Known(
            head=data[:head_bytes],
            head_bytes=head_bytes,
            size=len(data),
            status=self._status,
            headers=self._headers,
        )

    def _note(self, name: bytes, value: bytes) -> None:
        if name == b"keep-alive":
            max_idle_s = kept_s(value.decode("latin-1"))
            if max_idle_s is not None:
                self._owner.keep(max_idle_s)
            return
        if name == b"content-encoding":
            self._coding = self._coding + b"," + value if self._coding else value
            return
        self._chunked = True
        if value.strip().lower() != b"chunked":
            shown = value.decode("latin-1").strip()
            self._trouble = f'the answer\'s transfer coding "{shown}" is not supported'

    def _refuse(self, size: int) -> bool:
        """Give up a response that is larger than allowed; return whether it was."""
        if self._status < _FIRST_FINAL_STATUS:
            head = size
        else:
            head = sum(len(name) + len(value) + 4 for name, value in self._headers)
        if head > MAX_HEAD_BYTES:
            what, most = "head", MAX_HEAD_BYTES
        elif self._body_bytes > MAX_BODY_BYTES:
            what, most = "body", MAX_BODY_BYTES
        else:
            return False
        self.give_up(Failure.UNREADABLE, f"the answer's {what} exceeds {most:,} bytes")
        return True

    # how a request ends

    def _answered(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Hand on a response and be ready for the next request."""
        exchange, sink = self._exchange, self._sink
        assert exchange is not None
        assert sink is not None
        self._exchange = self._sink = None
        del self._active[self]
        self.idle_since_ns = exchange.done_ns = _now_ns()
        exchange.status = status
        exchange.headers = headers
        exchange.body = body
        if self._writing:
            # the response came before all of the request was written: the rest would be in between
            self._owner.leaving(self)
            self._transport.abort()
        else:
            self._owner.ready(self)
        sink(exchange)

    def _finish(self) -> None:
        """End the request in flight with what the parser has collected."""
        exchange = self._exchange
        assert exchange is not None
        status = self._status
        if status == _REQUEST_TIMEOUT and not self._keep_alive and self._rested():
            # sent because the connection was idle, before the request came: no response to it
            self._owner.leaving(self)
            self._transport.abort()
            if not self._repeated():
                self._fail(Failure.LOST, f"no complete answer: {CLOSED_IDLE}")
            return
        body = self._body if isinstance(self._body, bytes) else b"".join(self._body)
        if self._coding:
            try:
                body = decode(body, self._coding)
            except CodingError as error:
                status = 0  # an unreadable response has no status, whatever its head says
                exchange.failure, exchange.detail = Failure.UNREADABLE, str(error)
        if self._without_body:
            self._parser = httptools.HttpResponseParser(self)  # this one waits for a body
        if not self._trailing_data and self._keep_alive:
            self._answered(status, self._headers, body)
            return
        sink = self._sink
        assert sink is not None
        self._exchange = self._sink = None
        del self._active[self]
        exchange.done_ns = _now_ns()
        exchange.status, exchange.headers, exchange.body = status, self._headers, body
        self._owner.leaving(self)
        # abort, not close: under TLS, close() waits for close_notify and blocks the slot
        self._transport.abort()
        sink(exchange)

    def _lose(self, error: Exception | None) -> None:
        """Fail the request in flight, unless it never had a chance and may be sent again.

        A server may close an idle connection at the very moment at which it is used. If not a byte
        of a response came, another connection may carry the request (RFC 9110 section 9.2.2, RFC
        9112 section 9.3.1). If a connection in steady use ends, that is the service's doing, and is
        not hidden.
        """
        if not self._last_read_ns and self._rested() and self._repeated():
            return
        how = reason(error) if error else "the server closed the connection"
        self._fail(Failure.LOST, f"no complete answer: {how}")

    def _rested(self) -> bool:
        """Return whether the connection had been idle when the request in flight was written."""
        return bool(self.idle_since_ns) and self.sent_ns - self.idle_since_ns >= RESTED_NS

    def _repeated(self) -> bool:
        """Have the request in flight resent, if allowed; return whether it is."""
        exchange, sink = self._exchange, self._sink
        assert exchange is not None
        assert sink is not None
        if not self._owner.stale(exchange.request, sink, exchange.sent_ns):
            return False
        self._exchange = self._sink = None
        del self._active[self]
        return True

    def _fail(self, failure: Failure, detail: str) -> None:
        exchange, sink = self._exchange, self._sink
        if exchange is None or sink is None:
            return
        self._exchange = self._sink = None
        del self._active[self]
        exchange.done_ns = _now_ns()
        exchange.failure = failure
        exchange.detail = detail
        sink(exchange)


def _quoted(head: bytes, *, first: bool) -> str:
    """Return the first bad line of a head, as far as it has come, in words; "" if there is none."""
    lines = head.partition(b"\r\n\r\n")[0].split(b"\r\n")
    for number, line in enumerate(lines if first else lines[1:]):
        status = line.startswith(b"HTTP/1.")
        if not _LINE.fullmatch(line) or status is not (first and number == 0):
            return f", in the line {line[:_QUOTED_BYTES].decode('latin-1')!a}"
    return ""
