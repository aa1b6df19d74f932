"""Content codings (RFC 9110 section 8.4.1): gzip of requests, gzip and deflate of answers.

What goes over the wire for a request (RFC 9112 sections 6 and 9).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

from loadcheck.load.transport.settings import MAX_BODY_BYTES
from loadcheck.workflow.exchange import Request

_GZIP = 16 + zlib.MAX_WBITS
_RAW = -zlib.MAX_WBITS
_LEVEL = 6


class CodingError(Exception):
    """A body is not what its ``Content-Encoding`` says, or too large without it."""


def decoded(body: bytes, codings: bytes) -> bytes:
    """Return a body with its content codings removed, the last one first.

    Codings that are not known are left alone, as httpx does.

    Raises:
        CodingError: It is not coded like that, is cut off, or exceeds the cap.
    """
    for coding in reversed([name.strip().lower() for name in codings.split(b",")]):
        if coding in (b"gzip", b"x-gzip"):
            body = _inflated(body, _GZIP)
        elif coding == b"deflate":
            try:
                body = _inflated(body, zlib.MAX_WBITS)
            except CodingError:
                body = _inflated(body, _RAW)  # without the zlib wrapper, as some servers send it
        elif coding not in (b"", b"identity"):
            return body
    return body


def compressed(request: Request) -> tuple[bytes, bytes]:
    """Return the head and the gzipped body of a request; as they are if it has a coding already."""
    if not request.body or b"\r\ncontent-encoding:" in request.head.lower():
        return request.head, request.body
    packer = zlib.compressobj(_LEVEL, wbits=_GZIP)
    body = packer.compress(request.body) + packer.flush()
    return request.head + b"Content-Encoding: gzip\r\n", body


def _inflated(body: bytes, wbits: int) -> bytes:
    if not body:
        return body
    pieces, size = [], 0
    while body:
        unpacker = zlib.decompressobj(wbits)
        try:
            piece = unpacker.decompress(body, MAX_BODY_BYTES - size + 1)
        except zlib.error as error:
            raise CodingError(f"the answer's content coding is broken: {error}") from None
        size += len(piece)
        if size > MAX_BODY_BYTES:
            raise CodingError(f"the answer's body exceeds {MAX_BODY_BYTES:,} bytes when unpacked")
        if not unpacker.eof:
            raise CodingError("the answer's content coding is broken: it ends early")
        pieces.append(piece)
        body = unpacker.unused_data if wbits == _GZIP else b""  # RFC 1952 section 2.2: members
    return b"".join(pieces)


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
