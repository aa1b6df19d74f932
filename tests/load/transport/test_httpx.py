"""What goes through httpx alone: proxies, HTTP/2, redirects; and what both send alike."""

from __future__ import annotations

import gzip
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import anyio.to_thread
import h2.config
import h2.connection
import h2.errors
import h2.events
import pytest
import trustme

from loadcheck.load.transport import MAX_BODY_BYTES, MAX_HEAD_BYTES, LoadTransport
from loadcheck.load.transport.httpx_ import httpx_transport
from loadcheck.load.transport.wire import wire_transport
from loadcheck.scenario.model import Tls
from loadcheck.workflow.exchange import Exchange, Failure, Origin, Request
from tests.load.transport.peer import (
    ANSWER,
    HEAD,
    answering,
    eventually,
    read_request,
    send,
    server,
    settings,
)

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def through(kind: str, **options: Any) -> AsyncIterator[LoadTransport]:
    if kind == "wire":
        async with wire_transport(settings(**options)) as wire:
            yield wire
    else:
        async with httpx_transport(settings(**options)) as slow:
            yield slow


async def seen(kind: str, body: bytes, head: bytes, **options: Any) -> tuple[bytes, ...]:
    """Return the lines and the body of a request as the server got it."""
    got: list[bytes] = []

    async def taking(stream: anyio.abc.ByteStream) -> None:
        got.append(await read_request(stream))
        await stream.send(b"HTTP/1.1 204 No Content\r\n\r\n")

    async with server(taking) as origin, through(kind, **options) as transport:
        assert (await send(transport, origin, body, head)).status == 204
    lines, _, sent = got[0].partition(b"\r\n\r\n")
    first, *fields = lines.split(b"\r\n")
    return first, *sorted(field.lower() for field in fields), sent


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (HEAD, b'{"a": 1}'),
        (HEAD, b""),
        (b"GET /q?e=%7B%22a%22%3A1%7D&x=a+b HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n", b""),
        (b"DELETE /a%2Fb HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nX-A: 2\r\n", b""),
        (b"PUT /p HTTP/1.1\r\nHost: x\r\nUser-Agent: me\r\n", b"x"),
    ],
)
@pytest.mark.parametrize("compress", ["none", "gzip"])
async def test_both_send_the_same_request(head: bytes, body: bytes, compress: str) -> None:
    wire = await seen("wire", body, head, compress=compress)
    assert wire == await seen("httpx", body, head, compress=compress)
    if compress == "gzip" and body:
        assert gzip.decompress(wire[-1]) == body
        assert b"content-encoding: gzip" in wire


async def test_a_body_that_has_a_coding_already_is_left_alone() -> None:
    head = HEAD + b"Content-Encoding: x-own\r\n"
    for kind in ("wire", "httpx"):
        assert (await seen(kind, b"body", head, compress="gzip"))[-1] == b"body"


async def test_a_proxy_gets_the_whole_url() -> None:
    lines: list[bytes] = []

    async def proxying(stream: anyio.abc.ByteStream) -> None:
        lines.append((await read_request(stream)).partition(b"\r\n")[0])
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with (
        server(proxying) as proxy,
        through("httpx", proxy=str(proxy), consent=True) as transport,
    ):
        exchange = await send(transport, Origin("http", "far.example", 80))
    assert exchange.body == b"ok"
    assert lines == [b"POST http://far.example/in HTTP/1.1"]


async def test_a_redirect_to_another_machine_is_not_followed_unasked() -> None:
    async def moving(stream: anyio.abc.ByteStream) -> None:
        await read_request(stream)
        head = b"HTTP/1.1 307 Moved\r\nLocation: http://127.1:9/?key=hunter2\r\n"
        await stream.send(head + b"Content-Length: 0\r\n\r\n")

    async with server(moving) as origin, through("httpx", redirects=True) as transport:
        exchange = await send(transport, origin)
    assert exchange.failure is Failure.UNREADABLE
    assert "http://127.1:9/, which is not this machine: add --live" in exchange.detail
    assert "hunter2" not in exchange.detail


@pytest.mark.parametrize("follow", [False, True])
async def test_redirects(follow: bool) -> None:
    async def moving(stream: anyio.abc.ByteStream) -> None:
        while True:
            request = await read_request(stream)
            if request.startswith(b"POST /in "):
                await stream.send(
                    b"HTTP/1.1 307 Moved\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n"
                )
            else:
                await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with server(moving) as origin, through("httpx", redirects=follow) as transport:
        exchange = await send(transport, origin)
    assert (exchange.status, exchange.body) == ((200, b"ok") if follow else (307, b""))


async def test_a_redirect_to_nowhere_leaves_open_what_the_first_server_did() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nowhere = b"http://127.0.0.1:%d/" % unused.getsockname()[1]

        async def elsewhere(stream: anyio.abc.ByteStream) -> None:
            await read_request(stream)
            await stream.send(
                b"HTTP/1.1 303 Stored\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % nowhere
            )

        async with server(elsewhere) as origin, through("httpx", redirects=True) as transport:
            exchange = await send(transport, origin)
    assert exchange.failure is Failure.LOST
    assert exchange.sent_ns


async def test_a_proxy_that_refuses_the_tunnel_was_sent_no_request() -> None:
    async def refusing(stream: anyio.abc.ByteStream) -> None:
        await read_request(stream)
        await stream.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

    async with server(refusing) as proxy, through("httpx", proxy=str(proxy)) as transport:
        exchange = await send(transport, Origin("https", "127.0.0.1", 9))
    assert exchange.failure is Failure.CONNECT
    assert exchange.sent_ns == 0
    assert f"the proxy 127.0.0.1:{proxy.port} refused the connection" in exchange.detail
    assert "403 Forbidden" in exchange.detail


async def test_a_proxy_that_is_down_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    async with through("httpx", proxy=f"http://127.0.0.1:{port}") as transport:
        exchange = await send(transport, Origin("http", "127.0.0.1", 9))
    assert exchange.failure is Failure.CONNECT
    assert exchange.detail == f"cannot connect to the proxy 127.0.0.1:{port}: connection refused"


@pytest.mark.parametrize(
    ("head", "quoted"),
    [
        (b"HTTP/1.1 200 OK\r\nbad header\r\nA: b\r\n\r\n", "bad header"),
        (b"HTTP/1.1 200 OK\r\nA: b\r\nno\x01pe: b\r\n\r\n", "no\\x01pe: b"),
        (b"<html>what?</html>\r\n\r\n", "<html>what?</html>"),
    ],
)
async def test_a_line_that_cannot_stand_in_a_head_is_quoted(head: bytes, quoted: str) -> None:
    async def odd(stream: anyio.abc.ByteStream) -> None:
        await read_request(stream)
        await stream.send(head)

    for kind in ("wire", "httpx"):
        async with server(odd) as origin, through(kind) as transport:
            exchange = await send(transport, origin)
        assert exchange.failure is Failure.UNREADABLE
        assert quoted in exchange.detail


async def test_a_peer_that_resets_while_it_is_looked_at_ends_nothing_else() -> None:
    """httpx looks at all its idle connections whenever it sends, over whichever."""
    held: list[socket.socket] = []

    def serve() -> None:
        for accepted in [listening.accept()[0] for _ in range(3)]:
            while not accepted.recv(10_000).endswith(b"{}"):
                pass
            accepted.sendall(ANSWER)
            held.append(accepted)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        origin = Origin("http", "127.0.0.1", listening.getsockname()[1])
        async with through("httpx") as transport:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(anyio.to_thread.run_sync, serve)
                for _ in range(3):
                    tasks.start_soon(send, transport, origin)
            for accepted in held:  # and before the loop has heard of it, httpx looks
                accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                accepted.close()
            got: list[Exchange] = []
            done = anyio.Event()

            def sink(exchange: Exchange) -> None:
                got.append(exchange)
                done.set()

            transport.submit(Request(0, origin, HEAD, b"{}"), sink)
            accepted, _ = await anyio.to_thread.run_sync(listening.accept)
            with accepted:
                await anyio.to_thread.run_sync(accepted.recv, 10_000)
                accepted.sendall(ANSWER)
                await done.wait()
    assert (got[0].failure, got[0].status) == (None, 200)


async def test_what_cannot_be_read_is_alike_on_both() -> None:
    answers = {
        "coding": b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nno",
        "head": b"X: %b\r\nContent-Length: 2\r\n\r\nno" % bytes(b"x" * MAX_HEAD_BYTES),
    }
    for answer in answers.values():

        async def odd(stream: anyio.abc.ByteStream, answer: bytes = answer) -> None:
            await read_request(stream)
            await stream.send(b"HTTP/1.1 429 Too Many Requests\r\n" + answer)

        got = []
        for kind in ("wire", "httpx"):
            async with server(odd) as origin, through(kind) as transport:
                exchange = await send(transport, origin)
            got.append((exchange.failure, exchange.status, exchange.detail))
        assert got[0] == got[1]
        assert got[0][:2] == (Failure.UNREADABLE, 0)


@pytest.mark.parametrize("told", ["goaway", "refused"])
async def test_what_http_2_has_not_looked_at_was_never_sent(told: str, tmp_path: Path) -> None:
    """As behind a proxy that has had enough of a connection: each request is done just once."""
    pem, context = _authority(tmp_path)
    done: list[bytes] = []

    async def weary(stream: anyio.abc.ByteStream) -> None:
        talk = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        talk.initiate_connection()
        await stream.send(talk.data_to_send())
        answered, body = 0, b""
        while True:
            for event in talk.receive_data(await stream.receive()):
                if isinstance(event, h2.events.DataReceived):
                    body += event.data or b""
                elif not isinstance(event, h2.events.StreamEnded):
                    continue
                elif answered < 3:
                    answered = event.stream_id
                    done.append(body)
                    body = b""
                    talk.send_headers(event.stream_id, [(":status", "204")], end_stream=True)
                elif told == "refused":
                    body = b""
                    talk.reset_stream(event.stream_id, h2.errors.ErrorCodes.REFUSED_STREAM)
                    answered = 0
                else:
                    talk.close_connection(last_stream_id=answered)
                    await stream.send(talk.data_to_send())
                    return
            await stream.send(talk.data_to_send())

    async with (
        server(weary, tls=context) as origin,
        through("httpx", tls=Tls(ca=pem), http2=True) as transport,
    ):
        for number in range(7):
            assert (await send(transport, origin, b"%d" % number)).status == 204
    assert done == [b"%d" % number for number in range(7)]


@pytest.mark.parametrize("way", ["goaway", "close", "garbage", "reset"])
async def test_what_http_2_may_have_looked_at_is_not_called_unsent(
    way: str, tmp_path: Path
) -> None:
    pem, context = _authority(tmp_path)
    looked_at = 0

    async def failing(stream: anyio.abc.ByteStream) -> None:
        nonlocal looked_at
        talk = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        talk.initiate_connection()
        await stream.send(talk.data_to_send())
        while True:
            for event in talk.receive_data(await stream.receive()):
                if isinstance(event, h2.events.StreamEnded):
                    looked_at += 1
                    if way == "goaway":
                        talk.close_connection(last_stream_id=event.stream_id)
                        # what is sent after it cannot be read: a protocol error while receiving
                        await stream.send(talk.data_to_send() + b"\0\0\1\1\5\0\0\0\1\x89")
                    elif way == "garbage":
                        await stream.send(b"\0\0\1\xff" * 9)
                    elif way == "reset":
                        talk.reset_stream(event.stream_id, h2.errors.ErrorCodes.INTERNAL_ERROR)
                        await stream.send(talk.data_to_send())
                    return
            await stream.send(talk.data_to_send())

    async with (
        server(failing, tls=context) as origin,
        through("httpx", tls=Tls(ca=pem), http2=True) as transport,
    ):
        exchange = await send(transport, origin)
    assert exchange.failure in (Failure.LOST, Failure.UNREADABLE)
    assert exchange.sent_ns > 0
    assert "ConnectionState" not in exchange.detail
    assert "ConnectionTerminated" not in exchange.detail
    assert looked_at == 1


def _authority(folder: Path) -> tuple[Path, ssl.SSLContext]:
    ca = trustme.CA()
    pem = folder / "ca.pem"
    ca.cert_pem.write_to_path(pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    context.set_alpn_protocols(["h2", "http/1.1"])
    return pem, context


async def test_http_2(tmp_path: Path) -> None:
    pem, context = _authority(tmp_path)

    async def serve(stream: anyio.abc.ByteStream) -> None:
        talk = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        talk.initiate_connection()
        await stream.send(talk.data_to_send())
        while True:
            for event in talk.receive_data(await stream.receive()):
                if isinstance(event, h2.events.StreamEnded):
                    talk.send_headers(event.stream_id, [(":status", "200"), ("x-by", "h2")])
                    talk.send_data(event.stream_id, b"two", end_stream=True)
            await stream.send(talk.data_to_send())

    async with (
        server(serve, tls=context) as origin,
        through("httpx", tls=Tls(ca=pem), http2=True) as transport,
    ):
        for _ in range(3):
            exchange = await send(transport, origin)
            assert (exchange.status, exchange.body) == (200, b"two")
            assert exchange.header("x-by") == "h2"


@pytest.mark.parametrize("packed", [False, True])
async def test_a_body_beyond_the_cap_is_refused(packed: bool) -> None:
    body = bytes(MAX_BODY_BYTES + 1)
    head = b"HTTP/1.1 200 OK\r\n"
    if packed:
        body, head = gzip.compress(body), head + b"Content-Encoding: gzip\r\n"

    async def large(stream: anyio.abc.ByteStream) -> None:
        await read_request(stream)
        await stream.send(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    for kind in ("wire", "httpx"):
        async with server(large) as origin, through(kind) as transport:
            exchange = await send(transport, origin)
        assert exchange.failure is Failure.UNREADABLE
        assert f"exceeds {MAX_BODY_BYTES:,} bytes" in exchange.detail


async def test_an_abort_tells_what_was_sent_from_what_was_not() -> None:
    arrived = 0

    async def silent(stream: anyio.abc.ByteStream) -> None:
        nonlocal arrived
        await read_request(stream)
        arrived += 1
        await anyio.sleep(10)

    async with server(silent) as origin, through("httpx") as transport:
        got: list[Failure | None] = []
        async with anyio.create_task_group() as tasks:

            async def one() -> None:
                got.append((await send(transport, origin)).failure)

            for _ in range(6):
                tasks.start_soon(one)
            await eventually(lambda: arrived == 4)
            transport.abort()
    assert sorted(f.value for f in got if f) == ["connect"] * 2 + ["lost"] * 4


async def test_healthy() -> None:
    async with server(answering) as origin, through("httpx") as transport:
        await transport.warm(origin, 3)
        assert (await send(transport, origin, b"x")).body == b"x"
        assert transport.stale_retries == 0
