"""What a network exception proves about a request, and how it is put into words."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Iterator

import anyio
import h2.exceptions
import httpcore
import httpx

from loadcheck.workflow.exchange import Failure

_AFTER: tuple[tuple[tuple[type[BaseException], ...], Failure], ...] = (
    ((httpx.TimeoutException, httpcore.TimeoutException, TimeoutError), Failure.TIMEOUT),
    (
        (
            httpx.TooManyRedirects,
            httpx.DecodingError,
            httpx.InvalidURL,
            httpx.CookieConflict,
            httpx.HTTPStatusError,
            httpx.UnsupportedProtocol,
            httpcore.UnsupportedProtocol,
            httpx.RemoteProtocolError,
            httpcore.RemoteProtocolError,
            h2.exceptions.H2Error,
        ),
        Failure.UNREADABLE,
    ),
    (
        (
            httpx.NetworkError,
            httpx.ProtocolError,
            httpx.ProxyError,
            httpx.StreamError,
            httpcore.NetworkError,
            httpcore.ProtocolError,
            httpcore.ProxyError,
            httpcore.ConnectionNotAvailable,
            anyio.BrokenResourceError,
            anyio.ClosedResourceError,
            anyio.BusyResourceError,
            anyio.EndOfStream,
            OSError,
        ),
        Failure.LOST,
    ),
    ((httpx.TransportError, httpx.RequestError, httpx.HTTPError), Failure.LOST),
)
"""What each exception means once a byte of the request may have left. The first that fits counts;
any other exception of the libraries is taken for a lost connection: nothing is proven."""

_CLOSED_EARLY = ("disconnected", "closed", "incomplete", "without sending", "terminated")

_REMEDIES = {
    errno.EADDRNOTAVAIL: "no local port is free: widen net.ipv4.ip_local_port_range, or let fewer "
    "connections be opened (load.max_in_flight, load.concurrency)",
    errno.EMFILE: "this process may open no further file: raise `ulimit -n`, or lower "
    "load.max_in_flight (load.concurrency)",
    errno.ENFILE: "this machine may open no further file: raise fs.file-max, or lower "
    "load.max_in_flight (load.concurrency)",
    errno.ENOBUFS: "the system has no buffer left for sockets: lower load.max_in_flight "
    "(load.concurrency), or raise net.core.wmem_max and net.ipv4.tcp_mem",
    errno.ENOMEM: "the system has no memory left for sockets: lower load.max_in_flight "
    "(load.concurrency), or raise net.ipv4.tcp_mem",
}
_OF_ANOTHER_NAME = (62, 63, 64)
"""OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH, and the same for e-mail and IP addresses."""
_NO_NAME_SERVICE = (
    "the name service of this machine gives no answer for now: give the target by its address, "
    "or run a resolver that caches"
)


def failure_of(error: BaseException, *, sent: bool) -> Failure:
    """Return what an exception proves about a request.

    Args:
        error: What was raised.
        sent: Whether a byte of the request may have left. If not, nothing took effect; if so,
            that is unknown.
    """
    if not sent:
        if shortage(error) is not None:
            return Failure.LOCAL
        return Failure.UNTRUSTED if _distrust(error) is not None else Failure.CONNECT
    failure = known_failure(error)
    if failure is Failure.UNREADABLE and any(word in str(error).lower() for word in _CLOSED_EARLY):
        return Failure.LOST
    return failure or Failure.LOST


def known_failure(error: BaseException) -> Failure | None:
    """Return what an exception means after the first byte; None if it is not one of the network."""
    for kinds, failure in _AFTER:
        if isinstance(error, kinds):
            return failure
    return None


def shortage(error: BaseException) -> str | None:
    """Return the remedy if an exception reports a shortage on this machine, else None."""
    for each in _chain(error):
        if isinstance(each, socket.gaierror):
            if each.errno == socket.EAI_AGAIN:
                return _NO_NAME_SERVICE
            if each.errno == socket.EAI_MEMORY:
                return _REMEDIES[errno.ENOMEM]
        elif isinstance(each, OSError) and each.errno in _REMEDIES:
            return _REMEDIES[each.errno]
    return None


def in_words(error: BaseException) -> str:
    """Return why no connection could be opened, in a sentence for users."""
    remedy = shortage(error)
    if remedy is not None:
        return remedy
    distrust = _distrust(error)
    if distrust is not None:
        remedy = "target.tls.ca names the authorities that are"
        if distrust.verify_code in _OF_ANOTHER_NAME:
            remedy = "target.tls.server_name is the name that it must bear"
        return f"its certificate is not trusted: {distrust.verify_message}; {remedy}"
    why: str | None = None
    for each in _chain(error):
        if isinstance(each, ssl.SSLError) and each.reason:
            return f"TLS failed: {each.reason.lower().replace('_', ' ')}"
        if why is None and isinstance(each, OSError) and each.errno and each.errno > 0:
            why = reason(each)
    return why or reason(error)


def reason(error: BaseException) -> str:
    """Return why a connection could not be opened, or ended, in a few words."""
    if isinstance(error, TimeoutError | httpx.TimeoutException) and not str(error):
        return "timed out"
    if isinstance(error, OSError) and error.errno and error.errno > 0:
        return os.strerror(error.errno).lower()
    return str(error) or type(error).__name__


def _distrust(error: BaseException) -> ssl.SSLCertVerificationError | None:
    for each in _chain(error):
        if isinstance(each, ssl.SSLCertVerificationError):
            return each
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and its causes; for a group, its members too."""
    seen: set[int] = set()
    left = [error]
    while left:
        each = left.pop(0)
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        if isinstance(each, BaseExceptionGroup):
            left += each.exceptions
        left += [cause for cause in (each.__cause__, each.__context__) if cause is not None]
