"""What goes over the wire for a request (RFC 9112 sections 6 and 9)."""

from __future__ import annotations

from collections.abc import Callable

from loadcheck.load.transport.coding import compressed
from loadcheck.workflow.exchange import Request

Encode = Callable[[Request], bytes]
"""Gives the bytes of a request, its framing included."""

_WITHOUT_BODY = (b"GET ", b"HEAD ", b"OPTIONS ", b"DELETE ")


def plain(request: Request) -> bytes:
    """Return the bytes of a request with its body as it is."""
    body = request.body
    if body:
        return b"%bcontent-length: %d\r\n\r\n%b" % (request.head, len(body), body)
    if request.head.startswith(_WITHOUT_BODY):
        return request.head + b"\r\n"
    return request.head + b"content-length: 0\r\n\r\n"


def gzipped(request: Request) -> bytes:
    """Return the bytes of a request with its body compressed."""
    head, body = compressed(request)
    return plain(request._replace(head=head, body=body))
