"""Every deadline fires, on both transports, and says which it was."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.abc
import pytest

from loadcheck.load.transport import LoadTransport, TransportSettings
from loadcheck.load.transport.httpx_ import httpx_transport
from loadcheck.load.transport.wire import wire_transport
from loadcheck.workflow.exchange import Failure, Origin
from tests.load.transport.peer import ANSWER, answering, read_request, send, server, settings

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("kind", ["wire", "httpx"])]


@asynccontextmanager
async def transport(kind: str, limits: TransportSettings) -> AsyncIterator[LoadTransport]:
    if kind == "wire":
        async with wire_transport(limits) as wire:
            yield wire
    else:
        async with httpx_transport(limits) as slow:
            yield slow


async def test_connect(kind: str) -> None:
    """A full backlog: the system does not answer any further connection."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        origin = Origin("http", "127.0.0.1", full.getsockname()[1])
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        await anyio.sleep(0.05)
        async with transport(kind, settings(connect_s=0.3, request_s=3)) as through:
            exchange = await send(through, origin)
        for filler in fillers:
            filler.close()
    assert exchange.failure is Failure.CONNECT
    assert exchange.sent_ns == 0
    assert exchange.detail.startswith(f"cannot connect to {origin}: ")


async def test_write(kind: str) -> None:
    """A server that does not read: the system takes no more than its buffers hold."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(4)
        origin = Origin("http", "127.0.0.1", deaf.getsockname()[1])
        async with transport(kind, settings(request_s=8, write_s=0.3)) as through:
            exchange = await send(through, origin, bytes(30_000_000))
    assert exchange.failure is Failure.TIMEOUT
    assert exchange.detail == "the request could not be written within 0.3 s"


@pytest.mark.parametrize("heard", [0, 20])
async def test_read(kind: str, heard: int) -> None:
    async def falls_silent(stream: anyio.abc.ByteStream) -> None:
        await read_request(stream)
        if heard:
            await stream.send(ANSWER[:heard])
        await anyio.sleep(10)

    async with (
        server(falls_silent) as origin,
        transport(kind, settings(request_s=8, read_s=0.3)) as through,
    ):
        exchange = await send(through, origin)
    assert exchange.failure is Failure.TIMEOUT
    assert exchange.detail == "nothing more of an answer within 0.3 s"


async def test_an_answer_that_trickles_in_meets_the_read_deadline_and_misses_the_whole(
    kind: str,
) -> None:
    async def trickling(stream: anyio.abc.ByteStream) -> None:
        await read_request(stream)
        for byte in ANSWER * 9:
            await stream.send(bytes([byte]))
            await anyio.sleep(0.02)

    async with (
        server(trickling) as origin,
        transport(kind, settings(request_s=0.5, read_s=0.4)) as through,
    ):
        exchange = await send(through, origin)
    assert exchange.failure is Failure.TIMEOUT
    assert exchange.detail == "no complete answer within 0.5 s"
    assert exchange.done_ns - exchange.sent_ns >= 0.49e9


async def test_waiting_for_a_connection(kind: str) -> None:
    """The only connection is taken: a request that never got one was never sent."""

    async def slow(stream: anyio.abc.ByteStream) -> None:
        await read_request(stream)
        await anyio.sleep(10)

    async with (
        server(slow) as origin,
        # the wait is as long as connecting and the whole request together
        transport(kind, settings(1, connect_s=0.2, request_s=3)) as through,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(send, through, origin)
        await anyio.sleep(0.05)
        tasks.start_soon(send, through, origin)
        through.abort()
    async with (
        server(slow) as origin,
        transport(kind, settings(1, connect_s=0.1, request_s=0.5)) as through,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(send, through, origin)
        await anyio.sleep(0.3)
        exchange = await send(through, origin)
    # by then the first has missed its own deadline and freed its connection, or none was free
    assert exchange.failure in (Failure.TIMEOUT, Failure.CONNECT)


async def test_none_fires_on_a_healthy_target(kind: str) -> None:
    limits = settings(connect_s=2, request_s=2, write_s=1, read_s=1)
    async with server(answering) as origin, transport(kind, limits) as through:
        for size in (2, 100_000, 2):
            exchange = await send(through, origin, b"x" * size)
            assert (exchange.failure, len(exchange.body)) == (None, size)


async def test_the_time_to_read_begins_when_all_is_written(kind: str) -> None:
    body = bytes(60_000_000)  # more than the system's buffers hold
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        origin = Origin("http", "127.0.0.1", listener.getsockname()[1])

        async def read_late() -> None:
            accepted, _ = await loop.sock_accept(listener)
            with accepted:
                await anyio.sleep(0.9)
                got = 0
                while got <= len(body):  # the head is a part of it
                    got += len(await loop.sock_recv(accepted, 1_000_000))
                await loop.sock_sendall(accepted, ANSWER)

        async with (
            transport(kind, settings(request_s=15, write_s=10, read_s=0.6)) as through,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(read_late)
            exchange = await send(through, origin, body)
    assert exchange.status == 200, exchange.detail


async def test_a_step_has_a_shorter_one_of_its_own(kind: str) -> None:
    """The workflow document says how long an attempt may take (Arazzo 1.1.0, ``timeout``)."""

    async def falls_silent(stream: anyio.abc.ByteStream) -> None:
        await read_request(stream)
        await anyio.sleep(10)

    limits = settings(request_s=9, steps_s={0: 0.3})
    async with server(falls_silent) as origin, transport(kind, limits) as through:
        exchange = await send(through, origin)
    assert exchange.failure is Failure.TIMEOUT
    assert exchange.detail == "no complete answer within 0.3 s"
