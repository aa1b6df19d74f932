"""A server that answers byte by byte as a test says, and one request at a time to it."""

from __future__ import annotations

import dataclasses
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import anyio.abc
from anyio.streams.tls import TLSListener

from loadcheck.load.transport import Transport, TransportSettings
from loadcheck.load.transport.wire import wire_transport
from loadcheck.scenario.model import Timeouts
from loadcheck.workflow.exchange import Exchange, Origin, Request

Handler = Callable[[anyio.abc.ByteStream], Awaitable[None]]
HEAD = b"POST /in HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


@asynccontextmanager
async def server(
    handler: Handler, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[Origin]:
    """Serve for the length of a block; yields where."""
    plain = await anyio.create_tcp_listener(local_host=host)
    port = plain.extra(anyio.abc.SocketAttribute.local_port)
    listener: anyio.abc.Listener[anyio.abc.ByteStream] = (
        plain if tls is None else TLSListener(plain, tls, standard_compatible=False)
    )

    async def handle(stream: anyio.abc.ByteStream) -> None:
        async with stream:
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError, ssl.SSLError):
                await handler(stream)

    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, handle)
        yield Origin("http" if tls is None else "https", host, port)
        tasks.cancel_scope.cancel()


async def eventually(holds: Callable[[], bool]) -> None:
    """Wait until something holds, however busy the machine is."""
    with anyio.fail_after(30):
        while not holds():  # noqa: ASYNC110  # nobody tells of most of it
            await anyio.sleep(0.01)


async def read_request(stream: anyio.abc.ByteStream) -> bytes:
    """Read one request, its body by its length."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += await stream.receive()
    head, _, body = data.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            while len(body) < int(line.split(b":")[1]):
                more = await stream.receive()
                body += more
                data += more
    return data


async def answering(stream: anyio.abc.ByteStream) -> None:
    """Answer every request with its body."""
    while True:
        body = (await read_request(stream)).partition(b"\r\n\r\n")[2]
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


def settings(max_connections: int = 4, **given: Any) -> TransportSettings:
    """Return settings whose deadlines a test does not reach unless it says so.

    Args:
        max_connections: To one origin.
        **given: Fields of the settings, and of their time-outs.
    """
    limits = {"connect_s": 5.0, "request_s": 5.0}
    limits |= {name: given.pop(name) for name in list(given) if name in _TIMEOUTS}
    return TransportSettings(max_connections=max_connections, timeouts=Timeouts(**limits), **given)


_TIMEOUTS = {each.name for each in dataclasses.fields(Timeouts)}


async def send(
    transport: Transport, origin: Origin, body: bytes = b"{}", head: bytes = HEAD
) -> Exchange:
    """Send one request and wait for what comes of it."""
    done = anyio.Event()
    got: list[Exchange] = []

    def sink(exchange: Exchange) -> None:
        got.append(exchange)
        done.set()

    transport.submit(Request(0, origin, head, body), sink)
    assert not got, "a sink is never called from submit"
    with anyio.fail_after(20):
        await done.wait()
    assert len(got) == 1
    return got[0]


__all__ = [
    "ANSWER",
    "HEAD",
    "Handler",
    "answering",
    "read_request",
    "send",
    "server",
    "settings",
    "wire_transport",
]  # fmt: skip
