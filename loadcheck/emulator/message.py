"""Requests, answers, and the router from one to the other."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote

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


class Request(NamedTuple):
    """One complete request.

    Attributes:
        method: In capitals.
        path: Without the query, as sent.
        query: The part after the "?", as sent; b"" if there is none.
        headers: Header fields in order, names in lower case.
        body: The payload, as sent; cut off beyond the server's maximum.
        overflow: Whether the body was cut off.
    """

    method: str
    path: str
    query: bytes = b""
    headers: Sequence[tuple[bytes, bytes]] = ()
    body: bytes = b""
    overflow: bool = False

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
        delay_ms: How long the connection waits before sending it.
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
        """Return the bytes to send (RFC 9112)."""
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
"""Answers at once where possible; the rest is awaited."""


Handler = Callable[..., Answer | Awaitable[Answer]]
"""Takes the request and the values of the path's parameters."""


class Router:
    """An :data:`~loadcheck.emulator.message.Application` made of routes.

    Paths without parameters are looked up, the few with them are tried in turn.
    """

    def __init__(self) -> None:
        self._exact: dict[str, dict[str, Handler]] = {}
        self._templates: list[tuple[tuple[str, ...], dict[str, Handler]]] = []

    def add(self, method: str, path: str, handler: Handler) -> None:
        """Route requests; ``{}`` stands for a path segment that is passed to the handler."""
        if "{}" not in path:
            self._exact.setdefault(path, {})[method] = handler
            return
        template = tuple(path.split("/"))
        for known, handlers in self._templates:
            if known == template:
                handlers[method] = handler
                return
        self._templates.append((template, {method: handler}))

    def __call__(self, request: Request) -> Answer | Awaitable[Answer]:
        """Answer a request."""
        handlers = self._exact.get(request.path)
        values: list[str] = []
        if handlers is None:
            handlers, values = self._matching(request.path)
        if handlers is None:
            # an upload to a wrong path gets 400 [D] HTTP V2 API; anything else: [U]
            status = 400 if request.method == "POST" else 404
            return json_answer(status, {"code": status, "error": "Invalid request path"})
        method = "GET" if request.method == "HEAD" and "HEAD" not in handlers else request.method
        handler = handlers.get(method)
        if handler is None:
            answer = json_answer(405, {"code": 405, "error": "Method not allowed"})
            answer.headers = ((b"allow", ", ".join(sorted(handlers)).encode()),)
            return answer
        return handler(request, *values)

    def _matching(self, path: str) -> tuple[dict[str, Handler] | None, list[str]]:
        parts = path.split("/")
        for template, handlers in self._templates:
            if len(parts) == len(template) and all(
                wanted in ("{}", part) for wanted, part in zip(template, parts, strict=True)
            ):
                found = zip(template, parts, strict=True)
                return handlers, [unquote(part) for wanted, part in found if wanted == "{}"]
        return None, []


TOO_MANY = 429


class QueryError(Exception):
    """The query cannot be answered.

    Attributes:
        status: 400 malformed, 404 not found, 429 over a limit, 500 not written to the journal.
    """

    def __init__(self, details: str, status: int = 400) -> None:
        super().__init__(details)
        self.status = status


def error_answer(status: int, details: str) -> Answer:
    """Return the error envelope that clients see [U-obs]."""
    answer = json_answer(
        status,
        {
            "error": {
                "http_code": status,
                "type": "unspecified",
                "message": "Unspecified Error",
                "metadata": {"details": details},
            }
        },
    )
    if status == 401:  # noqa: PLR2004
        answer.headers = ((b"www-authenticate", b'Basic realm="emulator"'),)
    return answer
