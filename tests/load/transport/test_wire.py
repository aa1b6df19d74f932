"""The wire transport against a server that answers byte by byte as a test says."""

from __future__ import annotations

import socket
from contextlib import AbstractAsyncContextManager

import anyio
import anyio.abc
import pytest

from loadcheck.load.transport import MAX_BODY_BYTES, MAX_HEAD_BYTES
from loadcheck.load.transport.wire import WireTransport, wire_transport
from loadcheck.workflow.exchange import Exchange, Failure, Origin, Request
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


def transport(
    *, request_s: float = 5, max_connections: int = 10, connect_s: float = 5
) -> AbstractAsyncContextManager[WireTransport]:
    return wire_transport(settings(max_connections, connect_s=connect_s, request_s=request_s))


async def exchange_with(answer: bytes, *, close: bool = False, cut: int = 0) -> Exchange:
    """Return what comes of one request that is answered with some bytes."""

    async def handler(stream: anyio.abc.ByteStream) -> None:
        await read_request(stream)
        pieces = [answer[:cut], answer[cut:]] if cut else [answer]
        for piece in pieces:
            await stream.send(piece)
            await anyio.sleep(0.001)
        if not close:
            await anyio.sleep(10)

    async with server(handler) as origin, transport(request_s=0.5) as wire:
        return await send(wire, origin)


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
LENGTH = OK + b"Content-Length: 5\r\n\r\nhello"
ANSWERS = {
    "length": LENGTH,
    "chunked": CHUNKED + b"2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n",
    "trailers": CHUNKED + b"5\r\nhello\r\n0\r\nA: b\r\n\r\n",
    "no reason": b"HTTP/1.1 200\r\ncontent-length:5\r\n\r\nhello",
    "interim": b"HTTP/1.1 100 Continue\r\n\r\n" + LENGTH,
    "hints": b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + LENGTH,
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_legal_answers(name: str) -> None:
    exchange = await exchange_with(ANSWERS[name])
    assert (exchange.failure, exchange.status, exchange.body) == (None, 200, b"hello")
    assert exchange.done_ns >= exchange.sent_ns > 0


@pytest.mark.parametrize("name", ["length", "chunked", "interim"])
async def test_an_answer_split_at_any_byte_is_the_same(name: str) -> None:
    answer = ANSWERS[name]

    async def handler(stream: anyio.abc.ByteStream) -> None:
        for cut in range(1, len(answer)):
            await read_request(stream)
            await stream.send(answer[:cut])
            await anyio.sleep(0.0005)
            await stream.send(answer[cut:])
        await anyio.sleep(10)

    async with server(handler) as origin, transport() as wire:
        for _ in range(1, len(answer)):
            exchange = await send(wire, origin)
            assert (exchange.status, exchange.body) == (200, b"hello")


async def test_a_body_that_ends_with_the_connection() -> None:
    answer = b"HTTP/1.1 200 OK\r\n\r\nhello"
    exchange = await exchange_with(answer, close=True)
    assert (exchange.failure, exchange.body) == (None, b"hello")


async def test_an_answer_without_a_body() -> None:
    exchange = await exchange_with(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert (exchange.failure, exchange.status, exchange.body) == (None, 204, b"")


async def test_header_names_come_in_lower_case() -> None:
    exchange = await exchange_with(b"HTTP/1.1 429 X\r\nReTRY-After: 7\r\nContent-Length: 0\r\n\r\n")
    assert exchange.header("Retry-After") == "7"


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (b"", Failure.LOST),
        (b"HTTP/1.1 200 OK\r\nContent-Le", Failure.LOST),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", Failure.LOST),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", Failure.LOST),
        (b"SSH-2.0-OpenSSH\r\n", Failure.UNREADABLE),
        (b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", Failure.UNREADABLE),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * (MAX_HEAD_BYTES + 1), Failure.UNREADABLE),
    ],
    ids=["nothing", "half a head", "half a body", "half a chunk", "not http", "bad length", "long"],
)
async def test_answers_that_are_none(answer: bytes, failure: Failure) -> None:
    exchange = await exchange_with(answer, close=True)
    assert exchange.failure is failure
    assert exchange.detail


async def test_a_body_beyond_the_cap_is_refused() -> None:
    async def handler(stream: anyio.abc.ByteStream) -> None:
        await read_request(stream)
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
        for _ in range(MAX_BODY_BYTES // 65536 + 10):
            await stream.send(b"a" * 65536)

    async with server(handler) as origin, transport(request_s=20) as wire:
        exchange = await send(wire, origin)
    assert exchange.failure is Failure.UNREADABLE


async def test_a_server_that_never_answers_is_a_timeout() -> None:
    exchange = await exchange_with(b"HTTP/1.1 200 OK\r\n")
    assert exchange.failure is Failure.TIMEOUT
    assert 0.45e9 < exchange.done_ns - exchange.sent_ns < 2e9


async def test_a_refused_connection_was_never_sent() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    async with transport() as wire:
        exchange = await send(wire, Origin("http", "127.0.0.1", port))
    assert exchange.failure is Failure.CONNECT
    assert exchange.sent_ns == 0
    assert f"cannot connect to http://127.0.0.1:{port}: connection refused" == exchange.detail


async def test_a_connection_is_kept_and_used_again() -> None:
    connections = 0

    async def handler(stream: anyio.abc.ByteStream) -> None:
        nonlocal connections
        connections += 1
        await answering(stream)

    async with server(handler) as origin, transport() as wire:
        for number in range(50):
            exchange = await send(wire, origin, b"%d" % number)
            assert exchange.body == b"%d" % number
    assert connections == 1


async def test_a_connection_that_the_server_closes_is_not_used_again() -> None:
    async def handler(stream: anyio.abc.ByteStream) -> None:
        await read_request(stream)
        await stream.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")

    async with server(handler) as origin, transport() as wire:
        for _ in range(10):
            assert (await send(wire, origin)).body == b"ok"


async def test_bytes_that_nobody_asked_for_end_the_connection() -> None:
    async def handler(stream: anyio.abc.ByteStream) -> None:
        await read_request(stream)
        await stream.send(ANSWERS["length"] + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")

    async with server(handler) as origin, transport() as wire:
        for _ in range(5):
            assert (await send(wire, origin)).body == b"hello"
            await anyio.sleep(0.01)


async def test_answers_are_never_mixed_up_among_many() -> None:
    got: dict[bytes, bytes] = {}
    done = anyio.Event()
    total = 2000

    async with server(answering) as origin, transport(max_connections=7) as wire:

        def sink(exchange: Exchange) -> None:
            got[exchange.request.body] = exchange.body
            if len(got) == total:
                done.set()

        for number in range(total):
            wire.submit(Request(0, origin, HEAD, b'{"n":%d}' % number), sink)
        with anyio.fail_after(20):
            await done.wait()
    assert all(body == answer for body, answer in got.items())


async def test_abort_hands_back_every_request() -> None:
    arrived = 0

    async def handler(stream: anyio.abc.ByteStream) -> None:
        nonlocal arrived
        await read_request(stream)
        arrived += 1
        await anyio.sleep(10)

    got: list[Exchange] = []
    async with server(handler) as origin, transport(max_connections=3) as wire:
        for _ in range(10):
            wire.submit(Request(0, origin, HEAD, b"{}"), got.append)
        await eventually(lambda: arrived == 3)
        wire.abort()
        assert sorted(e.failure.value for e in got if e.failure) == ["connect"] * 7 + ["lost"] * 3
        wire.submit(Request(0, origin, HEAD, b"{}"), got.append)
        await anyio.sleep(0.01)
    assert len(got) == 11


async def test_a_get_request_carries_no_length() -> None:
    seen: list[bytes] = []

    async def handler(stream: anyio.abc.ByteStream) -> None:
        seen.append(await read_request(stream))
        await stream.send(ANSWERS["length"])

    async with server(handler) as origin, transport() as wire:
        await send(wire, origin, b"", b"GET /q HTTP/1.1\r\nHost: x\r\n")
    assert seen == [b"GET /q HTTP/1.1\r\nHost: x\r\n\r\n"]
