"""What crosses the border between the connection and the service."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

JSON = b"application/json"
REASONS = {
    200: b"OK",
    400: b"Bad Request",
    401: b"Unauthorized",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    413: b"Payload Too Large",
    429: b"Too Many Requests",
    500: b"Internal Server Error",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
}


class Request:
    """One complete request.

    Attributes:
        method: In capitals.
        path: Without the query, as sent.
        query: What follows the "?", as sent; b"" if nothing does.
        headers: Header fields in order, names in lower case.
        body: The payload, as sent; cut off where it exceeds what the server holds.
        overflow: Whether the body was cut off.
    """

    __slots__ = ("body", "headers", "method", "overflow", "path", "query")

    def __init__(
        self,
        method: str,
        path: str,
        query: bytes = b"",
        headers: list[tuple[bytes, bytes]] | None = None,
        body: bytes = b"",
        *,
        overflow: bool = False,
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers or []
        self.body = body
        self.overflow = overflow

    def header(self, name: bytes) -> bytes:
        """Return the first header field of that name (in lower case), or b""."""
        for key, value in self.headers:
            if key == name:
                return value
        return b""


class Delivery(enum.Enum):
    """How an answer is put on the wire."""

    WHOLE = "whole"
    HALF = "half"
    """Half of the bytes, then the connection is reset."""
    NONE = "none"
    """The connection is reset at once."""


class Answer:
    """One answer.

    Attributes:
        status: HTTP status code.
        body: The payload.
        content_type: Its media type.
        headers: Further header fields.
        delay_ms: How long the connection waits before it sends it.
        delivery: How it is put on the wire.
    """

    __slots__ = ("body", "content_type", "delay_ms", "delivery", "headers", "status")

    def __init__(
        self,
        status: int,
        body: bytes,
        content_type: bytes = JSON,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        self.status = status
        self.body = body
        self.content_type = content_type
        self.headers = headers
        self.delay_ms = 0.0
        self.delivery = Delivery.WHOLE

    def encode(self, *, keep_alive: bool, head_only: bool = False) -> bytes:
        """Return it as it goes over the wire (RFC 9112)."""
        body = self.body
        lines = b"HTTP/1.1 %d %b\r\ncontent-type: %b\r\ncontent-length: %d\r\n" % (
            self.status,
            REASONS.get(self.status, b"Status"),
            self.content_type,
            len(body),
        )
        for name, value in self.headers:
            lines += b"%b: %b\r\n" % (name, value)
        if not keep_alive:
            lines += b"connection: close\r\n"
        return lines + b"\r\n" if head_only else lines + b"\r\n" + body


def json_answer(status: int, content: Any) -> Answer:
    """Return an answer whose body is ``content`` as JSON."""
    return Answer(status, orjson.dumps(content))


Application = Callable[[Request], Answer | Awaitable[Answer]]
"""Answers at once where it can; what takes long is awaited."""
