"""TLS on both transports: who is trusted, what is shown, and what is said when it fails."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.abc
import pytest
import trustme
from anyio.streams.tls import TLSStream
from cryptography.hazmat.primitives import serialization as s

from loadcheck.errors import InputError
from loadcheck.load.transport import LoadTransport, client_context
from loadcheck.load.transport.httpx_ import httpx_transport
from loadcheck.load.transport.wire import wire_transport
from loadcheck.scenario.model import Tls
from loadcheck.workflow.exchange import Exchange, Failure, Origin
from tests.load.transport.peer import ANSWER, answering, read_request, send, server, settings

pytestmark = pytest.mark.anyio
both = pytest.mark.parametrize("kind", ["wire", "httpx"])


class Authority:
    """A CA, a server's context, and a client's files."""

    def __init__(self, folder: Path) -> None:
        self.ca = trustme.CA()
        self.pem = folder / "ca.pem"
        self.ca.cert_pem.write_to_path(self.pem)
        client = self.ca.issue_cert("client@example.org")
        self.cert, self.key, self.both = (
            folder / "cert.pem",
            folder / "key.pem",
            folder / "both.pem",
        )
        client.cert_chain_pems[0].write_to_path(self.cert)
        client.private_key_pem.write_to_path(self.key)
        client.private_key_and_cert_chain_pem.write_to_path(self.both)

    def server(self, name: str = "127.0.0.1", *, asks: bool = False) -> ssl.SSLContext:
        """Return the context of a server that bears a name and may ask for a certificate."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.ca.issue_cert(name).configure_cert(context)
        if asks:
            context.verify_mode = ssl.CERT_REQUIRED
            self.ca.configure_trust(context)
        return context


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@asynccontextmanager
async def transport(kind: str, tls: Tls) -> AsyncIterator[LoadTransport]:
    if kind == "wire":
        async with wire_transport(settings(4, tls=tls)) as wire:
            yield wire
    else:
        async with httpx_transport(settings(4, tls=tls)) as slow:
            yield slow


async def one(kind: str, tls: Tls, context: ssl.SSLContext) -> Exchange:
    async with server(answering, tls=context) as origin, transport(kind, tls) as through:
        return await send(through, origin, b"hello")


@both
async def test_an_own_authority_is_trusted(kind: str, authority: Authority) -> None:
    connections = 0

    async def counting(stream: anyio.abc.ByteStream) -> None:
        nonlocal connections
        connections += 1
        await answering(stream)

    async with (
        server(counting, tls=authority.server()) as origin,
        transport(kind, Tls(ca=authority.pem)) as through,
    ):
        for size in (5, 300_000, 5):  # kept alive, and more than a TLS record
            exchange = await send(through, origin, b"x" * size)
            assert (exchange.failure, len(exchange.body)) == (None, size)
    assert connections == 1


@both
@pytest.mark.parametrize("farewell", [True, False])
async def test_an_answer_that_ends_with_the_connection_needs_a_farewell(
    kind: str, farewell: bool, authority: Authority
) -> None:
    """Who can cut the connection beneath TLS could shorten the answer otherwise."""

    async def ending(stream: anyio.abc.ByteStream) -> None:
        await read_request(stream)
        await stream.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello")
        assert isinstance(stream, TLSStream)
        if farewell:
            await stream.unwrap()
        await stream.transport_stream.aclose()

    tls = Tls(ca=authority.pem)
    async with server(ending, tls=authority.server()) as origin, transport(kind, tls) as through:
        exchange = await send(through, origin)
    if farewell:
        assert (exchange.failure, exchange.body) == (None, b"hello")
    else:
        assert exchange.failure is Failure.LOST
        assert "close_notify" in exchange.detail


@both
async def test_an_answer_of_known_length_needs_none(kind: str, authority: Authority) -> None:
    async def ending(stream: anyio.abc.ByteStream) -> None:
        await read_request(stream)
        await stream.send(ANSWER.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n"))
        assert isinstance(stream, TLSStream)
        await stream.transport_stream.aclose()

    tls = Tls(ca=authority.pem)
    async with server(ending, tls=authority.server()) as origin, transport(kind, tls) as through:
        assert (await send(through, origin)).body == b"hello"


@both
@pytest.mark.parametrize("way", ["plain", "tls", "farewell"])
async def test_a_server_that_closes_at_once_is_not_waited_for(
    kind: str, way: str, authority: Authority
) -> None:
    """The end may come together with the handshake's, before a request is written."""

    async def closing(stream: anyio.abc.ByteStream) -> None:
        if way == "farewell":
            assert isinstance(stream, TLSStream)
            with anyio.move_on_after(0.2):
                await stream.unwrap()

    tls, context = Tls(ca=authority.pem), None if way == "plain" else authority.server()
    async with server(closing, tls=context) as origin, transport(kind, tls) as through:
        for _ in range(10):
            exchange = await send(through, origin)
            assert exchange.failure in (Failure.LOST, Failure.CONNECT)


@both
async def test_an_unknown_authority_is_not(kind: str, authority: Authority) -> None:
    exchange = await one(kind, Tls(), authority.server())
    assert exchange.failure is Failure.UNTRUSTED
    assert "target.tls.ca" in exchange.detail
    assert exchange.sent_ns == 0
    assert "unable to get local issuer certificate" in exchange.detail


@both
async def test_a_certificate_for_another_name_is_refused(kind: str, authority: Authority) -> None:
    exchange = await one(kind, Tls(ca=authority.pem), authority.server("api.example.org"))
    assert exchange.failure is Failure.UNTRUSTED
    assert "127.0.0.1" in exchange.detail
    assert "target.tls.server_name" in exchange.detail


@both
async def test_the_name_to_expect_can_be_told_and_is_sent(kind: str, authority: Authority) -> None:
    asked: list[str | None] = []
    context = authority.server("api.example.org")

    def note(_: ssl.SSLSocket | ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> None:
        asked.append(name)

    context.sni_callback = note
    exchange = await one(kind, Tls(ca=authority.pem, server_name="api.example.org"), context)
    assert exchange.failure is None
    assert asked == ["api.example.org"]


@both
async def test_verification_can_be_switched_off(kind: str, authority: Authority) -> None:
    exchange = await one(kind, Tls(verify=False), authority.server("api.example.org"))
    assert exchange.failure is None


@both
@pytest.mark.parametrize("files", ["apart", "together"])
async def test_a_client_certificate_is_shown(kind: str, files: str, authority: Authority) -> None:
    tls = (
        Tls(ca=authority.pem, cert=authority.cert, key=authority.key)
        if files == "apart"
        else Tls(ca=authority.pem, cert=authority.both)
    )
    assert (await one(kind, tls, authority.server(asks=True))).failure is None


@both
async def test_without_one_the_server_does_not_answer(kind: str, authority: Authority) -> None:
    exchange = await one(kind, Tls(ca=authority.pem), authority.server(asks=True))
    assert exchange.failure in (Failure.CONNECT, Failure.LOST)


@both
async def test_a_server_that_speaks_no_tls(kind: str) -> None:
    async def plain(stream: anyio.abc.ByteStream) -> None:
        await stream.receive()
        await stream.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with server(plain) as origin, transport(kind, Tls()) as through:
        exchange = await send(through, Origin("https", origin.host, origin.port))
    assert exchange.failure is Failure.CONNECT
    assert "cannot connect to https://127.0.0.1:" in exchange.detail


@pytest.mark.parametrize(
    ("name", "words"),
    [("ca", "certificates in PEM form"), ("cert", "a certificate and its private key")],
)
def test_a_file_that_is_none_is_told_without_what_it_holds(
    name: str, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "file.pem"
    path.write_text("-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n")
    with pytest.raises(InputError) as caught:
        client_context(Tls(ca=path) if name == "ca" else Tls(cert=path))
    (problem,) = caught.value.problems
    assert problem.key == f"target.tls.{name}"
    assert words in problem.remedy
    assert "secret" not in str(problem)


def test_a_key_with_a_password_is_told_and_asks_for_none(
    authority: Authority, tmp_path: Path
) -> None:
    key = s.load_pem_private_key(authority.key.read_bytes(), None)
    sealed = tmp_path / "sealed.pem"
    sealed.write_bytes(
        key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.BestAvailableEncryption(b"pass"))
    )
    with pytest.raises(InputError, match="the key without a password"):
        client_context(Tls(cert=authority.cert, key=sealed))


async def test_a_server_that_does_not_say_farewell_holds_up_nobody(authority: Authority) -> None:
    async def closing(stream: anyio.abc.ByteStream) -> None:
        await read_request(stream)
        await stream.send(ANSWER.replace(b"Content", b"Connection: close\r\nContent", 1))
        await anyio.sleep_forever()

    async with (
        server(closing, tls=authority.server()) as origin,
        wire_transport(settings(1, tls=Tls(ca=authority.pem))) as wire,
    ):
        for _ in range(3):
            exchange = await send(wire, origin)
            assert exchange.status == 200, exchange.detail


@pytest.mark.parametrize("name", ["a..b", ".b", "a" * 64])
async def test_a_server_name_that_cannot_be_one_is_told(name: str) -> None:
    with pytest.raises(InputError, match="cannot be a host name"):
        client_context(Tls(server_name=name))
