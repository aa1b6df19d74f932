"""How requests get onto the network and responses back, by the settings of a scenario.

Timeouts, connections, TLS contexts and content codings (RFC 9110 section 8.4.1): gzip of requests,
gzip and deflate of responses. What goes over the wire for a request: RFC 9112 sections 6 and 9.
"""

from __future__ import annotations

import ssl
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import certifi

from loadcheck.documents.files import UnreadableError, read_file
from loadcheck.errors import InputError, Problem
from loadcheck.scenario.model import Timeouts, Tls
from loadcheck.workflow.exchange import ACCEPTED_CODINGS, Exchange, Origin, Request

MAX_HEAD_BYTES = 64 * 1024
"""The longest head of a response that is read, interim responses included."""
MAX_BODY_BYTES = 16 * 1024 * 1024
"""The longest body of a response that is read, before and after its content coding is removed."""
RESTED_NS = 1_000_000_000
"""A connection that has been idle for this long may have been closed by the time it is used."""
CLOSED_IDLE = "the server closed the connection, which had been idle"


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportSettings:
    """How requests are sent; pure data, so that another process can open the same transport.

    Attributes:
        max_connections: The most connections to one origin; further requests wait for one.
        timeouts: How long an attempt may take.
        steps_s: Index of a step → seconds that the workflow document allows an attempt of it, where
            they are fewer than ``timeouts.request_s``.
        tls: How https servers are verified.
        repeatable: Indexes of the steps whose requests may be sent a second time when the
            connection of the first had been idle and was being closed: they carry a key by which
            the service recognises duplicates.
        transport: "wire" is the fast path; only "httpx" has proxies, HTTP/2 and redirects.
        compress: Content coding of request bodies.
        proxy: URL of the proxy through which everything goes.
        proxies: Whether the proxies that the environment names are used, except for loopback.
        http2: Whether HTTP/2 is used where the server supports it, over TLS.
        redirects: Whether redirects are followed.
        consent: Whether requests, redirected ones among them, may leave this machine.
    """

    max_connections: int
    timeouts: Timeouts = field(default_factory=Timeouts)
    steps_s: Mapping[int, float] = field(default_factory=dict)
    tls: Tls = field(default_factory=Tls)
    repeatable: frozenset[int] = frozenset()
    transport: Literal["wire", "httpx"] = "wire"
    compress: Literal["none", "gzip"] = "none"
    proxy: str | None = None
    proxies: bool = False
    http2: bool = False
    redirects: bool = False
    consent: bool = False

    def request_s(self, step: int) -> float:
        """Return how many seconds an attempt of a step may take, from first byte to last."""
        return self.steps_s.get(step, self.timeouts.request_s)

    @property
    def waiting_s(self) -> float:
        """How many seconds a request waits for a connection before it counts as never sent."""
        return self.timeouts.connect_s + self.timeouts.request_s


def kept_s(keep_alive: str) -> float | None:
    """Return for how many seconds an idle connection may be used, by its ``Keep-Alive`` field.

    That is a second less than the server keeps it, or half as long if that is more, so that no
    request meets it being closed. None: the field has no timeout.
    """
    for parameter in keep_alive.split(","):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "timeout" and value.strip().isdecimal():
            timeout_s = min(float(value), 1e6)
            return max(timeout_s - 1.0, timeout_s / 2)
    return None


_MOST_BYTES = 10_000_000


def client_context(tls: Tls) -> ssl.SSLContext:
    """Return a new TLS context for each caller: transports set their protocols on it.

    Without a CA file the system's certificates are trusted; where none are found,
    certifi's.

    Raises:
        InputError: A file cannot be used (its contents are never quoted), or the server
            name cannot be a host name.
    """
    if tls.server_name is not None:
        try:
            tls.server_name.encode("idna")
        except UnicodeError:
            message = f'"{tls.server_name}" cannot be a host name'
            remedy = "expected the name that the server's certificate bears"
            raise InputError(
                Problem(key="target.tls.server_name", message=message, remedy=remedy)
            ) from None
    for name in ("ca", "cert", "key"):
        _look_at(name, getattr(tls, name))
    if tls.ca is None:
        context = ssl.create_default_context()  # which takes 20 ms: hundreds of authorities
        if not context.cert_store_stats()["x509_ca"]:
            context.load_verify_locations(certifi.where())
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(tls.ca)
        except (OSError, ssl.SSLError) as error:
            raise _unusable("ca", "certificates in PEM form", error) from None
    if tls.cert is not None:
        try:
            # without a password a prompt on the terminal would hold up the run
            context.load_cert_chain(tls.cert, tls.key, password=lambda: "")
        except (OSError, ssl.SSLError) as error:
            name = "cert" if tls.key is None else "key"
            remedy = "a certificate and its private key in PEM form, the key without a password"
            raise _unusable(name, remedy, error) from None
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _look_at(name: str, path: str | Path | None) -> None:
    """Check that a file can be read: OpenSSL would wait for a pipe, and read a device forever."""
    if path is None:
        return
    try:
        read_file(Path(path), _MOST_BYTES)
    except UnreadableError as error:
        remedy = error.remedy or "name a file that is there"
        problem = Problem(key=f"target.tls.{name}", message=error.message, remedy=remedy)
        raise InputError(problem) from None


def _unusable(key: str, expected: str, error: OSError) -> InputError:
    why = getattr(error, "reason", None) or error.strerror or type(error).__name__
    message = f"cannot be used: {str(why).lower().replace('_', ' ')}"
    return InputError(
        Problem(key=f"target.tls.{key}", message=message, remedy=f"expected {expected}")
    )


CUT_OFF = "the TLS connection was cut off: no close_notify came before its end"


def cut_off(tls: Any) -> bool:
    """Return whether a TLS connection has ended without the server's close_notify.

    Anyone who can close the connection beneath could cut short a response that ends with it (RFC
    8446 section 6.1, RFC 9112 section 9.8).
    """
    if not isinstance(tls, ssl.SSLObject):
        return False
    try:
        return tls.read(1) != b""
    except ssl.SSLZeroReturnError:
        return False
    except (OSError, ValueError):
        return True


Sink = Callable[[Exchange], None]
"""Receives the exchange of a request; called exactly once, never from ``submit``."""


class Transport(Protocol):
    """Sends requests; calls each request's sink exactly once."""

    def submit(self, request: Request, sink: Sink) -> None:
        """Send a request as soon as a connection is free; returns at once."""

    def abort(self) -> None:
        """Give up all requests in flight; each of them is still handed back, as lost."""


class LoadTransport(Transport, Protocol):
    """A transport that can be prepared for a load.

    Attributes:
        stale_retries: Requests that the transport sent a second time of its own accord, because
            the connection of the first was being closed when it was used.
    """

    stale_retries: int

    async def warm(self, origin: Origin, connections: int) -> None:
        """Open connections that are about to be needed, at a bounded rate."""


_GZIP = 16 + zlib.MAX_WBITS
_RAW = -zlib.MAX_WBITS
_LEVEL = 6
_MOST_CODINGS = 4
_MOST_MEMBERS = 10_000
_FIRST_STEP_BYTES = 256
_MOST_STEP_BYTES = 65_536
_SHOWN = 40


class CodingError(Exception):
    """A body is not what its ``Content-Encoding`` says, or too large when decoded."""


def decode(body: bytes, codings: bytes) -> bytes:
    """Return a body with its content codings removed, the last one first.

    Takes time in proportion to the body, coded and decoded.

    Raises:
        CodingError: The body is not coded like that, its coding is not understood, or it is cut
            off or exceeds :data:`MAX_BODY_BYTES`.
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
    """Return the head and the gzipped body of a request; unchanged if empty or already coded."""
    if not request.body or b"\r\ncontent-encoding:" in request.head.lower():
        return request.head, request.body
    packer = zlib.compressobj(_LEVEL, wbits=_GZIP)
    body = packer.compress(request.body) + packer.flush()
    return request.head + b"Content-Encoding: gzip\r\n", body


def _inflated(body: bytes, wbits: int) -> bytes:
    """Return a body decompressed by zlib; all its members if it is gzip (RFC 1952 section 2.2)."""
    pieces: list[bytes] = []
    size = members = position = 0
    view = memoryview(body)
    while position < len(body):
        if members == _MOST_MEMBERS:
            raise CodingError(f"the answer's body has more than {_MOST_MEMBERS:,} gzip members")
        members += 1
        unpacker = zlib.decompressobj(wbits)
        # bytes behind a member's end are copied each time: begin with few
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
"""Returns the bytes of a request, its framing included."""

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
