"""The interface between a plan and the transport that carries its requests.

A plan is sans-IO: a copy is a generator that yields :class:`Request` and :class:`Wait` and is sent
the :class:`Exchange` that the request led to. Any driver can run it: callbacks on a socket, an
``httpx`` client, or a test with a virtual clock.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import enum
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple, Self

import orjson

DEFAULT_PORTS: Final = {"http": 80, "https": 443}
ACCEPTED_CODINGS: Final = "gzip, deflate"
"""Content codings that the transports decode: ``Accept-Encoding``, unless a workflow sets it."""
_BOM: Final = b"\xef\xbb\xbf"
UNREAD: Final = object()
MALFORMED: Final = object()
_NO_HEADERS: Final[Sequence[tuple[bytes, bytes]]] = ()


class Origin(NamedTuple):
    """Where a request goes: scheme ("http" or "https"), host name or address, and port."""

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """Host and port as in the ``Host`` header, without the scheme's default port.

        RFC 9110 section 7.2, RFC 3986 section 6.2.3.
        """
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS.get(self.scheme) else f"{host}:{self.port}"

    def __str__(self) -> str:
        """Return the origin as a URL."""
        return f"{self.scheme}://{self.authority}"


class Request(NamedTuple):
    """One rendered HTTP request.

    Attributes:
        step: Index of the step in :attr:`Plan.steps`.
        origin: Where to connect.
        head: The HTTP/1.1 request line and header fields, each line ended by CRLF, ``Host``
            included; without ``Content-Length``, ``Connection`` and the empty line, which the
            transport adds (RFC 9112 section 2.1).
        body: The payload, b"" if there is none.
    """

    step: int
    origin: Origin
    head: bytes
    body: bytes

    @property
    def method(self) -> str:
        """The request method."""
        return self.head[: self.head.index(b" ")].decode("ascii")

    @property
    def target(self) -> str:
        """The request target in origin form: path and query."""
        return self.head[: self.head.index(b"\r\n")].split(b" ")[1].decode("ascii")

    @property
    def url(self) -> str:
        """The absolute URL."""
        return f"{self.origin}{self.target}"

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The header fields in order, names as written."""
        lines = self.head.decode("latin-1").split("\r\n")[1:-1]
        return [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]


class Wait(NamedTuple):
    """A wait before the next request: backoff after a failure, or as a retry action says."""

    seconds: float


class Gap(Wait):
    """A wait before the copy's next upload, which has a due time of its own; not a backoff."""

    __slots__ = ()


class Failure(enum.Enum):
    """Why there is no answer to judge."""

    CONNECT = "connect"
    """No connection: refused, unresolvable, TLS failed. Certainly nothing took effect."""
    UNTRUSTED = "untrusted"
    """The server's certificate is not trusted; trying again cannot help."""
    LOCAL = "local"
    """This machine had no port, file descriptor or memory left for it: nothing was sent."""
    TIMEOUT = "timeout"
    """The request was written, but the answer did not arrive in time."""
    LOST = "lost"
    """The connection ended after the request was written and before the answer was complete."""
    UNREADABLE = "unreadable"
    """The answer is not HTTP, or larger than allowed."""


NEVER_SENT: Final = frozenset({Failure.CONNECT, Failure.UNTRUSTED, Failure.LOCAL})
"""Failures after which a request has certainly not taken effect."""


class Exchange:
    """One attempt of one step: the request and its result.

    The transport fills in everything but :attr:`success` and :attr:`reason`, which the plan sets
    when it judges the answer by the step's success criteria.

    Attributes:
        request: What was sent.
        sent_ns: Monotonic instant at which the request was handed to the socket; 0 if it never was.
        done_ns: Monotonic instant at which the answer was complete or the attempt failed.
        status: HTTP status code; 0 if there was no answer.
        headers: Header fields of the answer, names in lower case.
        body: Payload of the answer, content coding removed.
        failure: Why there is no answer; None if there is one.
        detail: The failure in words, for people.
        parsed: The body parsed as JSON by :meth:`json`; :data:`UNREAD` before that,
            :data:`MALFORMED` if it is not JSON.
        success: Whether all success criteria of the step held.
        reason: The first criterion that did not hold, or the failure; "" on success.
    """

    __slots__ = (
        "body",
        "detail",
        "done_ns",
        "failure",
        "headers",
        "parsed",
        "reason",
        "request",
        "sent_ns",
        "status",
        "success",
    )

    repeated = False
    """Whether the transport sent it twice, so that the first sending may have taken effect."""

    def __init__(
        self,
        request: Request,
        *,
        sent_ns: int = 0,
        done_ns: int = 0,
        failure: Failure | None = None,
        detail: str = "",
    ) -> None:
        self.request = request
        self.sent_ns = sent_ns
        self.done_ns = done_ns
        self.status = 0
        self.headers: Sequence[tuple[bytes, bytes]] = ()
        self.body = b""
        self.failure = failure
        self.detail = detail
        self.success = False
        self.reason = ""
        self.parsed: Any = UNREAD

    def answered(
        self, status: int, headers: Iterable[tuple[bytes, bytes]] = (), body: bytes = b""
    ) -> Self:
        """Set the answer, and return this exchange."""
        self.status, self.headers, self.body = status, list(headers), body
        return self

    def json(self) -> Any:
        """Return the body as JSON, parsed only once; a leading UTF-8 byte order mark is skipped.

        Raises:
            ValueError: The body is not JSON.
        """
        if self.parsed is UNREAD:
            try:
                self.parsed = orjson.loads(self.body)
            except ValueError:
                self.parsed = MALFORMED
                # RFC 8259 section 8.1: a parser may ignore a byte order mark
                if not self.body.startswith(_BOM):
                    raise
                self.parsed = orjson.loads(self.body[len(_BOM) :])
        elif self.parsed is MALFORMED:
            message = "the body is not JSON"
            raise ValueError(message)
        return self.parsed

    def header(self, name: str) -> str | None:
        """Return the first header field of that name, compared without case, or None."""
        wanted = name.lower().encode("latin-1")
        for key, value in self.headers:
            if key == wanted:
                return value.decode("latin-1")
        return None

    def header_values(self, name: str) -> list[str]:
        """Return the header fields of that name in order, compared without case."""
        wanted = name.lower().encode("latin-1")
        return [value.decode("latin-1") for key, value in self.headers if key == wanted]


class SentExchange(Exchange):
    """An attempt that has been written.

    Every copy creates one: without the general constructor's keyword arguments it costs a third.
    """

    __slots__ = ()

    def __init__(self, request: Request, sent_ns: int) -> None:
        self.request = request
        self.sent_ns = sent_ns
        self.done_ns = 0
        self.status = 0
        self.headers = _NO_HEADERS
        self.body = b""
        self.failure = None
        self.detail = ""
        self.success = False
        self.reason = ""
        self.parsed = UNREAD


class RetriedExchange(Exchange):
    """An attempt whose connection was being closed, so that its request was sent again.

    Its :attr:`sent_ns` is the instant of the first sending.
    """

    __slots__ = ()

    repeated = True


_MOST_S: Final = 300.0
"""Longest ``Retry-After`` that is honoured: waiting for a day would look like a hang."""


def retry_after_s(exchange: Exchange) -> float | None:
    """Return the answer's ``Retry-After`` in seconds, up to five minutes; None without one.

    RFC 9110 section 10.2.3.
    """
    value = exchange.header("retry-after")
    if value is None:
        return None
    if value.strip().isdecimal():
        return min(float(value), _MOST_S)
    at = _date(value)
    if at is None:
        return None
    now = _date(exchange.header("date") or "")
    return min(max(0.0, at - (time.time() if now is None else now)), _MOST_S)


def _date(value: str) -> float | None:
    try:
        at = email.utils.parsedate_to_datetime(value)
        if at.tzinfo is None:
            at = at.replace(tzinfo=dt.UTC)  # RFC 9110 section 5.6.7: asctime's form is UTC
        return at.timestamp()
    except (ValueError, OverflowError):
        return None
