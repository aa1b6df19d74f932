"""A kept-alive connection that is closed at the moment at which it is used."""

from __future__ import annotations

import socket
import struct

import anyio
import anyio.abc
import anyio.to_thread
import pytest

from loadcheck.load.retry import attempt_outcome
from loadcheck.load.transport.wire import wire_transport
from loadcheck.measure import Outcome
from loadcheck.workflow.exchange import Failure, Origin
from tests.load.transport.peer import ANSWER, HEAD, deadlines, read_request, send, server

pytestmark = pytest.mark.anyio
GET = b"GET /q HTTP/1.1\r\nHost: x\r\n"
KEYED = [0]
"""The step whose requests carry a key by which the service tells duplicates."""


class Closing:
    """Answers so many requests of a connection, then does something else with the next.

    Attributes:
        requests: The bodies that came, by connection.
    """

    def __init__(self, *, then: str, answered: int = 1) -> None:
        self.requests: list[list[bytes]] = []
        self._then = then
        self._answered = answered

    async def __call__(self, stream: anyio.abc.ByteStream) -> None:
        mine: list[bytes] = []
        self.requests.append(mine)
        while True:
            mine.append((await read_request(stream)).partition(b"\r\n\r\n")[2])
            if len(mine) <= self._answered:
                await stream.send(ANSWER)
                continue
            if self._then == "half":
                await stream.send(ANSWER[:5])
            if self._then == "reset":
                raw = stream.extra(anyio.abc.SocketAttribute.raw_socket)
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return


async def test_a_request_lost_on_a_stale_connection_is_sent_again_and_counted() -> None:
    closing = Closing(then="close")
    async with (
        server(closing) as origin,
        wire_transport(max_connections=4, deadlines=deadlines(), repeatable=KEYED) as wire,
    ):
        for number in range(5):
            exchange = await send(wire, origin, b"%d" % number)
            assert (exchange.failure, exchange.body) == (None, b"hello")
        assert wire.stale_retries == 4
    # the second request of each connection was lost, and came again first on the next one
    assert closing.requests == [[b"0", b"1"], [b"1", b"2"], [b"2", b"3"], [b"3", b"4"], [b"4"]]


async def test_a_request_of_a_safe_method_needs_no_key() -> None:
    async with (
        server(Closing(then="close")) as origin,
        wire_transport(max_connections=4, deadlines=deadlines()) as wire,
    ):
        for _ in range(3):
            assert (await send(wire, origin, b"", GET)).failure is None
        assert wire.stale_retries == 2


async def test_one_that_might_take_effect_twice_is_lost() -> None:
    closing = Closing(then="close")
    async with (
        server(closing) as origin,
        wire_transport(max_connections=4, deadlines=deadlines()) as wire,
    ):
        assert (await send(wire, origin, b"0")).failure is None
        exchange = await send(wire, origin, b"1")
        assert exchange.failure is Failure.LOST
        assert exchange.detail == "no complete answer: the server closed the connection"
        assert wire.stale_retries == 0
    assert closing.requests == [[b"0", b"1"]]


@pytest.mark.parametrize("then", ["half", "reset"])
async def test_a_byte_of_an_answer_or_a_reset_in_steady_use_is_no_stale_connection(
    then: str,
) -> None:
    closing = Closing(then=then)
    async with (
        server(closing) as origin,
        wire_transport(max_connections=4, deadlines=deadlines(), repeatable=KEYED) as wire,
    ):
        assert (await send(wire, origin, b"0")).failure is None
        assert (await send(wire, origin, b"1")).failure is Failure.LOST
        assert wire.stale_retries == 0
    assert closing.requests == [[b"0", b"1"]]


async def test_a_reset_after_a_rest_is_one() -> None:
    """A balancer that forgot the connection answers the next bytes with a reset."""
    async with (
        server(Closing(then="reset")) as origin,
        wire_transport(max_connections=4, deadlines=deadlines(), repeatable=KEYED) as wire,
    ):
        assert (await send(wire, origin)).failure is None
        await anyio.sleep(1.1)
        assert (await send(wire, origin)).failure is None
        assert wire.stale_retries == 1


async def test_a_fresh_connection_that_is_closed_is_a_lost_request() -> None:
    closing = Closing(then="close", answered=0)
    async with (
        server(closing) as origin,
        wire_transport(max_connections=4, deadlines=deadlines(), repeatable=KEYED) as wire,
    ):
        assert (await send(wire, origin)).failure is Failure.LOST
        assert wire.stale_retries == 0
    assert len(closing.requests) == 1


async def test_a_second_sending_goes_over_a_new_connection_and_not_to_another_stale_one() -> None:
    """All idle connections are stale at once: the server was restarted."""
    closing = Closing(then="close")
    async with (
        server(closing) as origin,
        wire_transport(max_connections=8, deadlines=deadlines(), repeatable=KEYED) as wire,
        anyio.create_task_group() as tasks,
    ):
        await wire.warm(origin, 8)

        async def twice(number: int) -> None:
            for part in (b"a", b"b"):
                exchange = await send(wire, origin, b"%d%b" % (number, part), HEAD)
                assert exchange.failure is None

        for number in range(8):
            tasks.start_soon(twice, number)
    assert wire.stale_retries <= 16
    came = sorted(body for bodies in closing.requests for body in bodies)
    assert {b"%d%b" % (n, part) for n in range(8) for part in (b"a", b"b")} <= set(came)


async def test_the_first_sending_may_have_taken_effect_whatever_is_said_to_the_second() -> None:
    came = 0

    async def refusing(stream: anyio.abc.ByteStream) -> None:
        nonlocal came
        came += 1
        await read_request(stream)
        await stream.send(ANSWER if came == 1 else ANSWER.replace(b"200 OK", b"429 No"))
        if came == 1:
            await read_request(stream)

    async with (
        server(refusing) as origin,
        wire_transport(max_connections=4, deadlines=deadlines(), repeatable=KEYED) as wire,
    ):
        first = await send(wire, origin)
        second = await send(wire, origin)
    assert not first.repeated
    assert (second.status, second.repeated) == (429, True)
    assert attempt_outcome(second) is Outcome.INDETERMINATE


async def test_one_that_finds_no_second_connection_is_lost_and_not_unsent() -> None:
    """The server is gone: it may have done what the first sending asked for."""
    listening = socket.create_server(("127.0.0.1", 0))
    origin = Origin("http", "127.0.0.1", listening.getsockname()[1])

    def serve() -> None:
        accepted, _ = listening.accept()
        with accepted:
            accepted.recv(10_000)
            listening.close()
            accepted.sendall(ANSWER)
            accepted.recv(10_000)

    async with (
        wire_transport(max_connections=4, deadlines=deadlines(), repeatable=KEYED) as wire,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(anyio.to_thread.run_sync, serve)
        assert (await send(wire, origin)).failure is None
        exchange = await send(wire, origin)
    assert exchange.failure is Failure.LOST
    assert exchange.sent_ns > 0
    assert "and then: cannot connect" in exchange.detail
    assert attempt_outcome(exchange) is Outcome.INDETERMINATE
