"""HTTP/1.1 byte by byte: what clients, good and bad, may send."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from loadcheck.emulator.message import Answer
from tests.emulator.conftest import Serve, Served

BODY = b'{"api_key":"an-api-key-of-the-tests","events":[{"user_id":"user-1","event_type":"probe"}]}'
HEAD = b"POST /2/httpapi HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
LENGTH = b"content-length: %d\r\n\r\n" % len(BODY)


@pytest.fixture
def served(serve: Serve) -> Served:
    return serve()


@pytest.fixture
def wire(served: Served) -> Iterator[socket.socket]:
    with served.connect() as connection:
        yield connection


def answers(connection: socket.socket, count: int) -> list[bytes]:
    """Read so many answers with a Content-Length."""
    data = b""
    found: list[bytes] = []
    while len(found) < count:
        head, separator, rest = data.partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length")),
            0,
        )
        if separator and len(rest) >= length:
            found.append(head + separator + rest[:length])
            data = rest[length:]
            continue
        received = connection.recv(65536)
        assert received, f"the connection ended after {found} and {data!r}"
        data += received
    assert not data
    return found


def ended(connection: socket.socket) -> bool:
    """Whether the server closes or resets the connection."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_one_request_after_the_other(wire: socket.socket) -> None:
    for _ in range(3):
        wire.sendall(HEAD + LENGTH + BODY)
        assert answers(wire, 1)[0].startswith(b"HTTP/1.1 200 OK\r\n")


def test_pipelined_requests_are_answered_in_order(serve: Serve) -> None:
    served = serve(faults={"slow": {"count": 1, "delay": "50ms"}})
    others = b"GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n" + HEAD + LENGTH + BODY
    with served.connect() as wire:
        wire.sendall(HEAD + LENGTH + BODY + others * 100)
        found = answers(wire, 201)
        wire.sendall(HEAD + LENGTH + BODY)  # it reads on after it had to stop
        assert answers(wire, 1)[0].startswith(b"HTTP/1.1 200")
    statuses = [int(answer[9:12]) for answer in found]
    assert statuses == [200] + [404, 200] * 100


def test_a_bug_is_no_bad_request(
    served: Served, wire: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: object) -> Answer:
        raise ZeroDivisionError

    async def broken_later(_: object) -> Answer:
        raise ZeroDivisionError

    served.project.emulator.router.add("GET", "/broken", broken)
    served.project.emulator.router.add("GET", "/broken-later", broken_later)
    for path in (b"/broken", b"/broken-later"):
        wire.sendall(b"GET %b HTTP/1.1\r\nhost: x\r\n\r\n" % path)
        assert answers(wire, 1)[0].startswith(b"HTTP/1.1 500 ")
    assert [record.message for record in caplog.records] == [
        "GET /broken failed",
        "GET /broken-later failed",
    ]


def test_any_split_of_the_bytes(wire: socket.socket) -> None:
    for byte in HEAD + LENGTH + BODY:
        wire.sendall(bytes([byte]))
    assert b'"events_ingested":1' in answers(wire, 1)[0]


def test_chunked_bodies(wire: socket.socket) -> None:
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in BODY) + b"0\r\n\r\n"
    wire.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n" + chunks)
    assert b'"events_ingested":1' in answers(wire, 1)[0]


def test_expect_100_continue(wire: socket.socket) -> None:
    wire.sendall(HEAD + b"expect: 100-continue\r\n" + LENGTH)
    assert wire.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
    wire.sendall(BODY)
    assert answers(wire, 1)[0].startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "request_", [HEAD + b"connection: close\r\n" + LENGTH + BODY, b"GET / HTTP/1.0\r\n\r\n"]
)
def test_the_connection_ends_when_the_client_says_so(wire: socket.socket, request_: bytes) -> None:
    wire.sendall(request_)
    assert b"connection: close\r\n" in answers(wire, 1)[0]
    assert ended(wire)


def test_head_has_no_body(wire: socket.socket) -> None:
    wire.sendall(b"HEAD / HTTP/1.1\r\nhost: x\r\n\r\n")
    assert wire.recv(65536).endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nbad header\r\n\r\n", 400),
        (HEAD + b"x: " + b"y" * 70_000, 431),
        (b"GET /" + b"y" * 70_000, 431),
    ],
)
def test_what_is_no_request_is_refused(wire: socket.socket, data: bytes, status: int) -> None:
    wire.sendall(data)
    assert wire.recv(65536).startswith(b"HTTP/1.1 %d " % status)
    assert ended(wire)


def test_an_upgrade_is_ignored(wire: socket.socket) -> None:
    wire.sendall(
        b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"
    )
    assert answers(wire, 1)[0].startswith(b"HTTP/1.1 200")


def test_a_body_larger_than_is_held_is_read_to_its_end(served: Served) -> None:
    body = b" " * (33 * 1024 * 1024)
    headers = {"content-type": "application/json"}
    answer = httpx.post(f"{served.url}/batch", content=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (413, "Payload too large")


def test_a_client_that_leaves_early_harms_nobody(serve: Serve) -> None:
    served = serve(faults={"slow": {"delay": "20ms"}})
    for _ in range(5):
        with served.connect() as wire:
            wire.sendall(HEAD + LENGTH + BODY * 2)
    with served.connect() as wire:
        wire.sendall(HEAD + LENGTH + BODY)
        assert answers(wire, 1)[0].startswith(b"HTTP/1.1 200")


class TestDelivery:
    @pytest.mark.parametrize("kind", ["reset_before_commit", "reset_after_commit"])
    def test_a_reset_without_an_answer(self, serve: Serve, kind: str) -> None:
        with serve(faults={kind: {}}).connect() as wire:
            wire.sendall(HEAD + LENGTH + BODY)
            with pytest.raises(ConnectionResetError):
                wire.recv(65536)

    def test_a_reset_during_the_answer(self, serve: Serve) -> None:
        with serve(faults={"reset_during_answer": {}}).connect() as wire:
            wire.sendall(HEAD + LENGTH + BODY)
            data = wire.recv(65536)
            assert ended(wire)
        head, _, body = data.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert 0 < len(body) < 60

    def test_clients_tell_the_three_apart(self, serve: Serve) -> None:
        def outcome(**faults: object) -> object:
            url = serve(faults=faults).url
            try:
                answer = httpx.post(
                    f"{url}/2/httpapi",
                    content=BODY,
                    headers={"content-type": "application/json"},
                    timeout=0.3,
                )
            except httpx.TransportError as error:
                return type(error)
            return answer.status_code

        assert outcome(reset_during_answer={}) in (httpx.ReadError, httpx.RemoteProtocolError)
        assert outcome(reset_after_commit={}) is httpx.ReadError
        assert outcome(late_ack={"delay": "5s"}) is httpx.ReadTimeout
        assert outcome(slow={"delay": "50ms"}) == 200

    def test_a_delay_holds_up_only_its_own_connection(self, serve: Serve) -> None:
        served = serve(faults={"slow": {"count": 1, "delay": "5s"}})
        with served.connect() as slow, served.connect() as other:
            slow.sendall(HEAD + LENGTH + BODY)
            time.sleep(0.05)
            other.sendall(HEAD + LENGTH + BODY)
            assert answers(other, 1)[0].startswith(b"HTTP/1.1 200")
