"""Connections opened ahead, and the bounds of the pool."""

from __future__ import annotations

import socket

import anyio
import anyio.abc
import pytest

from loadcheck.load.transport.wire import WireTransport, wire_transport
from loadcheck.workflow.exchange import Exchange, Origin, Request
from tests.load.transport.peer import (
    HEAD,
    answering,
    eventually,
    read_request,
    send,
    server,
    settings,
)

pytestmark = pytest.mark.anyio


class Counted:
    """Answers, and counts connections."""

    def __init__(self) -> None:
        self.opened = 0
        self.open = 0
        self.most = 0

    async def __call__(self, stream: anyio.abc.ByteStream) -> None:
        self.opened += 1
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            await answering(stream)
        finally:
            self.open -= 1


async def burst(wire: WireTransport, origin: Origin, count: int) -> list[Exchange]:
    """Send requests all at once and wait for their answers."""
    got: list[Exchange] = []
    done = anyio.Event()

    def sink(exchange: Exchange) -> None:
        got.append(exchange)
        if len(got) == count:
            done.set()

    for _ in range(count):
        wire.submit(Request(0, origin, HEAD, b"{}"), sink)
    with anyio.fail_after(20):
        await done.wait()
    return got


async def test_a_burst_finds_its_connections_open() -> None:
    counted = Counted()
    async with (
        server(counted) as origin,
        wire_transport(settings(100)) as wire,
    ):
        await wire.warm(origin, 60)
        await eventually(lambda: counted.opened == 60)
        await wire.warm(origin, 40)  # as many are open already
        await burst(wire, origin, 60)
        assert counted.opened == 60


async def test_no_more_than_the_pool_may_hold() -> None:
    counted = Counted()
    async with (
        server(counted) as origin,
        wire_transport(settings(7)) as wire,
    ):
        await wire.warm(origin, 60)
        got = await burst(wire, origin, 500)
    assert all(exchange.failure is None for exchange in got)
    assert counted.most == counted.opened == 7


async def test_connections_that_cannot_be_opened_ahead_fail_no_request() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        origin = Origin("http", "127.0.0.1", unused.getsockname()[1])
    async with wire_transport(settings(500)) as wire:
        with anyio.fail_after(5):
            await wire.warm(origin, 500)
        assert wire._pools[origin]._opening == 0


async def test_idle_connections_that_the_server_closes_are_forgotten() -> None:
    async def closing(stream: anyio.abc.ByteStream) -> None:
        await anyio.sleep(0.05)

    async with (
        server(closing) as origin,
        wire_transport(settings(10)) as wire,
    ):
        await wire.warm(origin, 10)
        pool = wire._pools[origin]
        await eventually(lambda: (len(pool.idle), pool._open) == (0, 0))


async def test_a_warm_connection_may_be_stale_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadcheck.load.transport.connection.RESTED_NS", 250_000_000)
    served = 0

    async def impatient(stream: anyio.abc.ByteStream) -> None:
        nonlocal served
        served += 1
        await read_request(stream)
        if served > 1:
            await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with (
        server(impatient) as origin,
        wire_transport(settings(10, repeatable=frozenset({0}))) as wire,
    ):
        await wire.warm(origin, 1)
        await anyio.sleep(0.3)
        assert (await send(wire, origin)).body == b"ok"
        assert wire.stale_retries == 1
