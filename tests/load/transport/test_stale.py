"""A kept-alive connection that is closed at the moment at which it is used."""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.abc
import anyio.to_thread
import pytest

from loadcheck.load.retry import attempt_outcome
from loadcheck.load.transport import LoadTransport, kept_s
from loadcheck.load.transport.httpx_ import httpx_transport
from loadcheck.load.transport.wire import wire_transport
from loadcheck.measure import Outcome
from loadcheck.workflow.exchange import Failure, Origin
from tests.load.transport.peer import ANSWER, HEAD, read_request, send, server, settings

pytestmark = pytest.mark.anyio
both = pytest.mark.parametrize("kind", ["wire", "httpx"])
GET = b"GET /q HTTP/1.1\r\nHost: x\r\n"
TIMEOUT = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
KEYED = [0]
"""The step whose requests may be sent again: they carry a key that tells duplicates."""
REST_S = 0.3


@pytest.fixture
def soon_rested(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections have rested after a quarter of a second, so that tests need not."""
    for module in ("connection", "streams"):
        monkeypatch.setattr(f"loadcheck.load.transport.{module}.RESTED_NS", 250_000_000)


@asynccontextmanager
async def transport(
    kind: str, *, repeatable: list[int] = KEYED, max_idle_s: float = 10.0
) -> AsyncIterator[LoadTransport]:
    limits = settings(8, max_idle_s=max_idle_s, repeatable=frozenset(repeatable))
    make = wire_transport if kind == "wire" else httpx_transport
    async with make(limits) as through:
        yield through


class Closing:
    """Answers so many requests of a connection, then does something else with the next.

    Attributes:
        requests: The bodies that came, by connection.
    """

    def __init__(self, *, then: str, answered: int = 1, answer: bytes = ANSWER) -> None:
        self.requests: list[list[bytes]] = []
        self._then = then
        self._answered = answered
        self._answer = answer

    async def __call__(self, stream: anyio.abc.ByteStream) -> None:
        mine: list[bytes] = []
        self.requests.append(mine)
        while True:
            mine.append(await body_of_request(stream))
            if len(mine) <= self._answered:
                await stream.send(self._answer)
                continue
            if self._then == "half":
                await stream.send(ANSWER[:5])
            if self._then == "408":
                await stream.send(TIMEOUT)
            if self._then == "reset":
                raw = stream.extra(anyio.abc.SocketAttribute.raw_socket)
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return


async def body_of_request(stream: anyio.abc.ByteStream) -> bytes:
    return (await read_request(stream)).partition(b"\r\n\r\n")[2]


@both
@pytest.mark.parametrize("then", ["close", "reset", "408"])
@pytest.mark.usefixtures("soon_rested")
async def test_a_request_that_met_an_idle_connection_being_closed_is_sent_again(
    kind: str, then: str
) -> None:
    closing = Closing(then=then)
    async with server(closing) as origin, transport(kind) as through:
        assert not (await send(through, origin, b"0")).repeated
        await anyio.sleep(REST_S)
        exchange = await send(through, origin, b"1")
        assert (exchange.failure, exchange.body, exchange.repeated) == (None, b"hello", True)
        assert through.stale_retries == 1
    assert closing.requests == [[b"0", b"1"], [b"1"]]


@both
@pytest.mark.parametrize("head", [HEAD, GET])
@pytest.mark.parametrize("then", ["close", "408"])
@pytest.mark.usefixtures("soon_rested")
async def test_not_without_leave(kind: str, head: bytes, then: str) -> None:
    body = b"" if head is GET else b"1"
    closing = Closing(then=then)
    async with server(closing) as origin, transport(kind, repeatable=[]) as through:
        assert (await send(through, origin, body, head)).failure is None
        await anyio.sleep(REST_S)
        exchange = await send(through, origin, body, head)
        assert exchange.failure is Failure.LOST
        assert attempt_outcome(exchange) is Outcome.INDETERMINATE
        assert through.stale_retries == 0
    assert closing.requests == [[body, body]]


@both
@pytest.mark.parametrize("then", ["close", "reset", "half"])
async def test_a_connection_in_steady_use_is_never_taken_for_stale(kind: str, then: str) -> None:
    """The service may have done what was asked before it closed: that is its own doing."""
    closing = Closing(then=then)
    async with server(closing) as origin, transport(kind) as through:
        assert (await send(through, origin, b"0")).failure is None
        assert (await send(through, origin, b"1")).failure is Failure.LOST
        assert through.stale_retries == 0
    assert closing.requests == [[b"0", b"1"]]


@both
@pytest.mark.usefixtures("soon_rested")
async def test_nor_one_that_answered_with_a_byte(kind: str) -> None:
    closing = Closing(then="half")
    async with server(closing) as origin, transport(kind) as through:
        assert (await send(through, origin, b"0")).failure is None
        await anyio.sleep(REST_S)
        assert (await send(through, origin, b"1")).failure is Failure.LOST
        assert through.stale_retries == 0
    assert closing.requests == [[b"0", b"1"]]


@both
async def test_a_fresh_connection_that_is_closed_is_a_lost_request(kind: str) -> None:
    closing = Closing(then="close", answered=0)
    async with server(closing) as origin, transport(kind) as through:
        assert (await send(through, origin)).failure is Failure.LOST
        assert through.stale_retries == 0
    assert len(closing.requests) == 1


@both
async def test_a_408_of_a_connection_in_use_is_an_answer(kind: str) -> None:
    async with server(Closing(then="408")) as origin, transport(kind) as through:
        assert (await send(through, origin)).failure is None
        assert (await send(through, origin)).status == 408


@both
async def test_a_408_that_nobody_asked_for_is_no_answer(kind: str) -> None:
    """It comes while the connection is idle, as from servers that tell why they close."""
    connections = 0

    async def impatient(stream: anyio.abc.ByteStream) -> None:
        nonlocal connections
        connections += 1
        await read_request(stream)
        await stream.send(ANSWER)
        await stream.send(TIMEOUT)

    async with server(impatient) as origin, transport(kind, repeatable=[]) as through:
        for _ in range(3):
            assert (await send(through, origin)).status == 200
            await anyio.sleep(0.1)
    assert connections == 3


@both
@pytest.mark.parametrize("announced", [False, True])
async def test_a_connection_that_was_idle_for_too_long_is_not_used(
    kind: str, announced: bool
) -> None:
    answer = ANSWER.replace(b"\r\n\r\n", b"\r\nKeep-Alive: timeout=1, max=9\r\n\r\n")
    closing = Closing(then="close", answered=9, answer=answer if announced else ANSWER)
    idle_s = 10.0 if announced else 0.5
    async with server(closing) as origin, transport(kind, max_idle_s=idle_s) as through:
        for wait_s in (0, 0.1, 0.8):
            await anyio.sleep(wait_s)
            assert (await send(through, origin)).failure is None
    assert [len(bodies) for bodies in closing.requests] == [2, 1]


@pytest.mark.parametrize(
    ("field", "seconds"),
    [
        ("timeout=5", 4.0),
        ("timeout=5, max=100", 4.0),
        ("max=100,Timeout=1", 0.5),
        ("timeout=0", 0.0),
        ("timeout=" + "9" * 400, 999_999.0),
        ("max=100", None),
        ("timeout=x", None),
        ("timeout=²", None),
        ("", None),
    ],
)
def test_how_long_a_server_keeps_a_connection(field: str, seconds: float | None) -> None:
    assert kept_s(field) == seconds


@pytest.mark.usefixtures("soon_rested")
async def test_a_second_sending_goes_over_a_new_connection_and_not_to_another_stale_one() -> None:
    """All idle connections are stale at once: the server was restarted.

    Nobody is answered before all have asked, so that each copy has a connection of its own.
    """
    came: list[list[bytes]] = [[], [], []]
    all_asked, all_closed = anyio.Event(), anyio.Event()
    connections = 0

    async def restarted(stream: anyio.abc.ByteStream) -> None:
        nonlocal connections
        connections += 1
        if connections <= 8:
            came[0].append(await body_of_request(stream))
            if len(came[0]) == 8:
                all_asked.set()
            await all_asked.wait()
            await stream.send(ANSWER)
            came[1].append(await body_of_request(stream))
            if len(came[1]) == 8:
                all_closed.set()
            return
        came[2].append(await body_of_request(stream))
        await all_closed.wait()
        await stream.send(ANSWER)

    async with server(restarted) as origin, transport("wire") as wire:
        await wire.warm(origin, 8)

        async def one(number: int, part: bytes) -> None:
            exchange = await send(wire, origin, b"%d%b" % (number, part), HEAD)
            assert exchange.failure is None

        for part in (b"a", b"b"):
            async with anyio.create_task_group() as tasks:
                for number in range(8):
                    tasks.start_soon(one, number, part)
            await anyio.sleep(REST_S)
    assert wire.stale_retries == 8
    assert [sorted(bodies) for bodies in came] == [
        [b"%d%b" % (number, part) for number in range(8)] for part in (b"a", b"b", b"b")
    ]


@both
@pytest.mark.usefixtures("soon_rested")
async def test_the_first_sending_may_have_taken_effect_whatever_is_said_to_the_second(
    kind: str,
) -> None:
    came = 0

    async def refusing(stream: anyio.abc.ByteStream) -> None:
        nonlocal came
        came += 1
        await read_request(stream)
        await stream.send(ANSWER if came == 1 else ANSWER.replace(b"200 OK", b"429 No"))
        if came == 1:
            await read_request(stream)

    async with server(refusing) as origin, transport(kind) as through:
        first = await send(through, origin)
        await anyio.sleep(REST_S)
        second = await send(through, origin)
    assert not first.repeated
    assert (second.status, second.repeated) == (429, True)
    assert attempt_outcome(second) is Outcome.INDETERMINATE


@both
@pytest.mark.usefixtures("soon_rested")
async def test_one_that_finds_no_second_connection_is_lost_and_not_unsent(kind: str) -> None:
    """The server is gone: it may have done what the first sending asked for."""
    listening = socket.create_server(("127.0.0.1", 0))
    origin = Origin("http", "127.0.0.1", listening.getsockname()[1])

    def request(accepted: socket.socket) -> None:
        while not accepted.recv(10_000).endswith(b"{}"):
            pass

    def serve() -> None:
        accepted, _ = listening.accept()
        with accepted:
            request(accepted)
            listening.close()
            accepted.sendall(ANSWER)
            request(accepted)

    async with transport(kind) as through, anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.to_thread.run_sync, serve)
        assert (await send(through, origin)).failure is None
        await anyio.sleep(REST_S)
        exchange = await send(through, origin)
    assert exchange.failure is Failure.LOST
    assert exchange.sent_ns > 0
    assert "and then: cannot connect" in exchange.detail
    assert attempt_outcome(exchange) is Outcome.INDETERMINATE
