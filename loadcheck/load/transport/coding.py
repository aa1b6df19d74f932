"""Content codings (RFC 9110 section 8.4.1): gzip of requests, gzip and deflate of answers.

What goes over the wire for a request (RFC 9112 sections 6 and 9).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

from loadcheck.load.transport import MAX_BODY_BYTES
from loadcheck.workflow.exchange import ACCEPTED_CODINGS, Request

_GZIP = 16 + zlib.MAX_WBITS
_RAW = -zlib.MAX_WBITS
_LEVEL = 6
_MOST_CODINGS = 4
_MOST_MEMBERS = 10_000
_FIRST_STEP_BYTES = 256
_MOST_STEP_BYTES = 65_536
_SHOWN = 40


class CodingError(Exception):
    """A body is not what its ``Content-Encoding`` says, or too large without it."""


def decode(body: bytes, codings: bytes) -> bytes:
    """Return a body with its content codings removed, the last one first.

    Takes time in proportion to the body, as it came and as it becomes.

    Raises:
        CodingError: It is not coded like that or in a way that is not understood, is cut off, or
            exceeds the cap.
    """
    if not body:
        return body
    names = [name for name in (each.strip().lower() for each in codings.split(b",")) if name]
    if len(names) > _MOST_CODINGS:
        raise CodingError(f"the answer is coded {len(names):,} times over")
    for coding in reversed(names):
        if coding in (b"gzip", b"x-gzip"):
            body = _inflated(body, _GZIP)
        elif coding == b"deflate":
            try:
                body = _inflated(body, zlib.MAX_WBITS)
            except CodingError:
                body = _inflated(body, _RAW)  # without the zlib wrapper, as some servers send it
        elif coding != b"identity":
            shown = ascii(coding[:_SHOWN].decode("latin-1"))[1:-1]
            raise CodingError(
                f"the answer is coded with {shown}, and only {ACCEPTED_CODINGS} are understood: "
                "have the server heed Accept-Encoding"
            )
    return body


def compress(request: Request) -> tuple[bytes, bytes]:
    """Return the head and the gzipped body of a request; as they are if it has a coding already."""
    if not request.body or b"\r\ncontent-encoding:" in request.head.lower():
        return request.head, request.body
    packer = zlib.compressobj(_LEVEL, wbits=_GZIP)
    body = packer.compress(request.body) + packer.flush()
    return request.head + b"Content-Encoding: gzip\r\n", body


def _inflated(body: bytes, wbits: int) -> bytes:
    """Return what zlib makes of a body, of all its members if it is gzip (RFC 1952 section 2.2)."""
    pieces: list[bytes] = []
    size = members = position = 0
    view = memoryview(body)
    while position < len(body):
        if members == _MOST_MEMBERS:
            raise CodingError(f"the answer's body has more than {_MOST_MEMBERS:,} gzip members")
        members += 1
        unpacker = zlib.decompressobj(wbits)
        # what is behind a member's end is copied each time: so few bytes at first
        step = _FIRST_STEP_BYTES
        while not unpacker.eof and position < len(body):
            given = view[position : position + step]
            position += len(given)
            try:
                piece = unpacker.decompress(given, MAX_BODY_BYTES - size + 1)
            except zlib.error as error:
                raise CodingError(f"the answer's content coding is broken: {error}") from None
            size += len(piece)
            if size > MAX_BODY_BYTES:
                most = f"{MAX_BODY_BYTES:,} bytes"
                raise CodingError(f"the answer's body exceeds {most} when unpacked")
            if piece:
                pieces.append(piece)
            step = min(2 * step, _MOST_STEP_BYTES)
        if not unpacker.eof:
            raise CodingError("the answer's content coding is broken: it ends early")
        position -= len(unpacker.unused_data)
        if wbits != _GZIP:
            break
    return b"".join(pieces)


Encode = Callable[[Request], bytes]
"""Gives the bytes of a request, its framing included."""

_WITHOUT_BODY = (b"GET ", b"HEAD ", b"OPTIONS ", b"DELETE ")


def encode_plain(request: Request) -> bytes:
    """Return the bytes of a request with its body as it is."""
    _, _, head, body = request
    if body:
        return b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body)
    if head.startswith(_WITHOUT_BODY):
        return head + b"\r\n"
    return head + b"content-length: 0\r\n\r\n"


def encode_gzip(request: Request) -> bytes:
    """Return the bytes of a request with its body compressed."""
    head, body = compress(request)
    return encode_plain(request._replace(head=head, body=body))
