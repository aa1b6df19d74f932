"""All addresses of a name are used, and those that fail are left out."""

from __future__ import annotations

import socket
from collections import Counter
from typing import Any

import anyio
import pytest

from loadcheck.load.transport import dial
from loadcheck.load.transport.dial import Address, Dialer
from loadcheck.load.transport.wire import wire_transport
from loadcheck.workflow.exchange import Failure, Origin
from tests.load.transport.peer import answering, send, server, settings

pytestmark = pytest.mark.anyio


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")
async def test_ipv6() -> None:
    async with (
        server(answering, host="::1") as origin,
        wire_transport(settings(2)) as wire,
    ):
        exchange = await send(wire, origin, b"six")
        assert exchange.body == b"six"


def listening(count: int) -> list[socket.socket]:
    """Return servers at 127.0.0.1, 127.0.0.2 … with one port."""
    servers = [socket.create_server(("127.0.0.1", 0))]
    port = servers[0].getsockname()[1]
    servers += [socket.create_server((f"127.0.0.{n}", port)) for n in range(2, count + 1)]
    return servers


def resolving(monkeypatch: pytest.MonkeyPatch, *hosts: str) -> Counter[str]:
    """Let every name have these addresses; returns what was asked for."""
    asked: Counter[str] = Counter()

    async def look_up(self: Dialer) -> list[Address]:
        asked[self._host] += 1
        return [(socket.AF_INET, (host, self._port)) for host in hosts]

    monkeypatch.setattr(Dialer, "_addresses", look_up)
    return asked


@pytest.fixture
def trio_of_servers() -> Any:
    servers = listening(3)
    yield servers
    for each in servers:
        each.close()


async def test_connections_are_spread_over_the_addresses(
    monkeypatch: pytest.MonkeyPatch, trio_of_servers: list[socket.socket]
) -> None:
    resolving(monkeypatch, "127.0.0.1", "127.0.0.2", "127.0.0.3")
    dialer = Dialer("name", trio_of_servers[0].getsockname()[1])
    opened = [await dialer.open() for _ in range(9)]
    assert Counter(each.getpeername()[0] for each in opened) == {
        "127.0.0.1": 3, "127.0.0.2": 3, "127.0.0.3": 3,
    }  # fmt: skip
    for each in opened:
        each.close()


async def test_an_address_that_refuses_is_left_out(
    monkeypatch: pytest.MonkeyPatch, trio_of_servers: list[socket.socket]
) -> None:
    resolving(monkeypatch, "127.0.0.9", "127.0.0.2", "127.0.0.3")
    dialer = Dialer("name", trio_of_servers[0].getsockname()[1])
    opened = [await dialer.open() for _ in range(6)]
    assert {each.getpeername()[0] for each in opened} == {"127.0.0.2", "127.0.0.3"}
    for each in opened:
        each.close()


async def test_an_address_that_is_silent_is_overtaken(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = socket.create_server(("127.0.0.2", 0))
    port = answers.getsockname()[1]
    silent = socket.socket()
    silent.bind(("127.0.0.1", port))
    silent.listen(0)
    fillers = [socket.socket() for _ in range(4)]
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex(("127.0.0.1", port))
    resolving(monkeypatch, "127.0.0.1", "127.0.0.2")
    tried: list[Address] = []
    connected = dial._connected

    async def noted(address: Address) -> socket.socket:
        tried.append(address)
        return await connected(address)

    monkeypatch.setattr(dial, "_connected", noted)
    dialer = Dialer("name", port)
    with anyio.fail_after(5):
        opened = [await dialer.open() for _ in range(4)]
    assert {each.getpeername()[0] for each in opened} == {"127.0.0.2"}
    # it is waited for once, and then comes last
    assert [address[1][0] for address in tried].count("127.0.0.1") == 1
    for each in (*opened, answers, silent, *fillers):
        each.close()


async def test_when_none_answers_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    resolving(monkeypatch, "127.0.0.1", "127.0.0.2")
    async with wire_transport(settings(2)) as wire:
        exchange = await send(wire, Origin("http", "some.name", port))
    assert exchange.failure is Failure.CONNECT
    assert exchange.detail == f"cannot connect to http://some.name:{port}: connection refused"


async def test_a_name_is_looked_up_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one:
        dialer = Dialer("localhost", one.getsockname()[1])
        (await dialer.open()).close()
        first = dialer._looked_s
        (await dialer.open()).close()
        assert dialer._looked_s == first
        monkeypatch.setattr(dial, "_KNOWN_S", 0.0)
        (await dialer.open()).close()
        assert dialer._looked_s > first


async def test_a_name_that_has_no_address_is_told() -> None:
    async with wire_transport(settings(2)) as wire:
        exchange = await send(wire, Origin("http", "nobody.invalid", 80))
    assert exchange.failure is Failure.CONNECT
    assert exchange.detail.startswith("cannot connect to http://nobody.invalid: ")


@pytest.mark.parametrize("host", ["a..b", f"{'a' * 64}.b"])
async def test_a_name_that_cannot_be_one_is_told(host: str) -> None:
    async with wire_transport(settings(2)) as transport:
        exchange = await send(transport, Origin("http", host, 80))
    assert exchange.failure is Failure.CONNECT
    assert "cannot be a host name" in exchange.detail
