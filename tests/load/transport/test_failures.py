"""What exceptions prove: the map is total, and nothing that may have been sent counts as unsent."""

from __future__ import annotations

import builtins
import errno
import inspect
import os
import resource
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import anyio
import h2.exceptions
import httpcore
import httpx
import pytest

from loadcheck.load.retry import attempt_outcome
from loadcheck.load.transport.failures import failure_of, in_words, known_failure, shortage
from loadcheck.load.transport.httpx_ import httpx_transport
from loadcheck.load.transport.wire import wire_transport
from loadcheck.measure import Outcome
from loadcheck.workflow.exchange import NEVER_SENT, Exchange, Failure, Origin, Request
from tests.load.transport.peer import answering, send, server, settings

MODULES = (httpx, httpcore, h2.exceptions, ssl)
ANYIO = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream)


def kinds() -> Iterator[type[BaseException]]:
    for module in MODULES:
        for kind in vars(module).values():
            if inspect.isclass(kind) and issubclass(kind, BaseException):
                yield kind
    for kind in vars(builtins).values():
        if inspect.isclass(kind) and issubclass(kind, OSError):
            yield kind
    yield from (socket.gaierror, socket.herror, TimeoutError, *ANYIO)


def made(kind: Any) -> BaseException:
    if kind in (h2.exceptions.StreamIDTooLowError, h2.exceptions.InvalidBodyLengthError):
        numbered: BaseException = kind(1, 2)
        return numbered
    error: BaseException = kind.__new__(kind)
    error.args = ("words",)
    return error


@pytest.mark.parametrize("kind", sorted(set(kinds()), key=str))
def test_every_exception_is_mapped(kind: type[BaseException]) -> None:
    error = made(kind)
    assert known_failure(error) is not None
    assert failure_of(error, sent=False) in NEVER_SENT
    assert failure_of(error, sent=True) not in NEVER_SENT


@pytest.mark.parametrize("kind", [ValueError, KeyError, AssertionError, RuntimeError, UnicodeError])
def test_what_no_library_promises_proves_nothing(kind: type[Exception]) -> None:
    assert failure_of(kind("odd"), sent=True) is Failure.LOST
    assert failure_of(kind("odd"), sent=False) is Failure.CONNECT


def test_only_what_never_left_is_certainly_without_effect() -> None:
    request = Request(0, Origin("http", "h", 80), b"GET / HTTP/1.1\r\n", b"")
    for failure in Failure:
        proven = attempt_outcome(Exchange(request, failure=failure))
        assert (proven is Outcome.REJECTED) is (failure in NEVER_SENT)


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EADDRNOTAVAIL, "ip_local_port_range"),
        (errno.EMFILE, "ulimit -n"),
        (errno.ENFILE, "fs.file-max"),
        (errno.ENOBUFS, "buffer"),
        (errno.ENOMEM, "memory"),
    ],
)
def test_a_shortage_of_this_machine_is_its_own(number: int, remedy: str) -> None:
    bare = OSError(number, os.strerror(number))
    wrapped = httpx.ConnectError("All connection attempts failed")
    wrapped.__cause__ = ExceptionGroup("all failed", [OSError(errno.ECONNREFUSED, "no"), bare])
    for error in (bare, wrapped):
        assert failure_of(error, sent=False) is Failure.LOCAL
        assert remedy in in_words(error)
        assert failure_of(error, sent=True) is Failure.LOST


def test_a_name_service_that_is_silent_is_ours_and_an_unknown_name_is_not() -> None:
    silent = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    assert "name service" in (shortage(silent) or "")
    assert failure_of(silent, sent=False) is Failure.LOCAL
    assert failure_of(unknown, sent=False) is Failure.CONNECT
    assert in_words(unknown) == "[Errno -2] Name or service not known"
    refused = ConnectionRefusedError(errno.ECONNREFUSED, "x")
    assert (shortage(refused), in_words(refused)) == (None, "connection refused")


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["wire", "httpx"])
async def test_a_process_that_may_open_no_further_file_has_sent_nothing(kind: str) -> None:
    make = wire_transport if kind == "wire" else httpx_transport
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with (
        server(answering) as origin,
        make(settings(4)) as through,
    ):
        assert (await send(through, Origin("http", "127.0.0.1", 9))).failure is Failure.CONNECT
        with socket.socket() as last:
            resource.setrlimit(resource.RLIMIT_NOFILE, (last.fileno() + 1, hard))
            try:
                exchange = await send(through, origin)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert exchange.failure is Failure.LOCAL
        assert "ulimit -n" in exchange.detail
        assert exchange.sent_ns == 0
        assert (await send(through, origin)).failure is None
