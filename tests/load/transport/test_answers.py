"""What a connection makes of bytes, against h11: the same answer, or a clear failure.

The connection is driven by hand: no sockets, so that thousands of cuts take a moment.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Sequence
from typing import Any, cast

import h11
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from loadcheck.load.transport import MAX_BODY_BYTES, MAX_HEAD_BYTES, Sink, encode_plain
from loadcheck.load.transport.connection import Connection
from loadcheck.workflow.exchange import Exchange, Failure, Origin, Request

ORIGIN = Origin("http", "x", 80)
POST = Request(0, ORIGIN, b"POST /in HTTP/1.1\r\nHost: x\r\n", b"{}")
HEAD = Request(0, ORIGIN, b"HEAD /in HTTP/1.1\r\nHost: x\r\n", b"")


class FakeSocket:
    """Stands for asyncio's transport."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False

    def get_extra_info(self, name: str) -> None:
        """Tell that it is no TLS connection."""

    def write(self, data: bytes) -> None:
        self.written += data

    def set_write_buffer_limits(self, high: int, low: int) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    abort = close


class Talk:
    """One connection and what came of its requests; implements the connection's owner."""

    def __init__(self) -> None:
        self.got: list[Exchange] = []
        self.idle = True
        self.socket = FakeSocket()
        self.active: dict[Connection, None] = {}
        self.connection = Connection(self, self.active, encode_plain)
        self.connection.connection_made(cast("Any", self.socket))

    def ready(self, _: Connection) -> None:
        self.idle = True

    def keep(self, _: float) -> None:
        """Keep it as long as there is anything to say."""

    def leaving(self, _: Connection) -> None:
        self.idle = False

    def closed(self, _: Connection) -> None:
        self.idle = False

    def stale(self, _: Request, sink: Sink, sent_ns: int) -> bool:
        return False

    def send(self, request: Request = POST) -> None:
        self.idle = False
        self.connection.send(request, self.got.append)

    def feed(self, pieces: Sequence[bytes], *, end: bool = False) -> None:
        """Hand on what arrives, and the end if the connection is still open by then."""
        for piece in pieces:
            if piece and not self.socket.closed:
                self.connection.data_received(piece)
        if end or self.socket.closed:
            self.connection.eof_received()
            self.connection.connection_lost(None)

    @property
    def only(self) -> Exchange:
        assert len(self.got) == 1
        assert not self.active
        return self.got[0]


def by_h11(
    pieces: Sequence[bytes], *, end: bool
) -> tuple[int, list[tuple[bytes, bytes]], bytes] | None:
    """Return status, headers and body; None if h11 has no complete answer.

    Raises:
        h11.RemoteProtocolError: It is not HTTP.
    """
    peer = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
    peer.send(
        h11.Request(method="POST", target="/in", headers=[("Host", "x"), ("Content-Length", "2")])
    )
    peer.send(h11.Data(b"{}"))
    peer.send(h11.EndOfMessage())
    head, body = None, b""
    for piece in [*(each for each in pieces if each), *([b""] if end else [])]:
        peer.receive_data(piece)
        while True:
            event = peer.next_event()
            if isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                assert head is not None
                return head.status_code, list(head.headers), body
            elif event in (h11.NEED_DATA, h11.PAUSED) or isinstance(event, h11.ConnectionClosed):
                break
    return None


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
BODY = b'{"events_ingested": 1}'
LENGTH = OK + b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
HALVES = b"%x\r\n%b\r\n%x\r\n%b\r\n" % (4, BODY[:4], len(BODY) - 4, BODY[4:])
CORPUS = {
    "length": LENGTH,
    "folded case": b"HTTP/1.1 200 OK\r\ncOnTeNt-LeNgTh:%d\r\nX-a:b\r\n\r\n%b" % (len(BODY), BODY),
    "spaces": b"HTTP/1.1 200 OK\r\nContent-Length:   %d  \r\nX:\r\n\r\n%b" % (len(BODY), BODY),
    "no reason": b"HTTP/1.1 200 \r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY),
    "no reason, no space": b"HTTP/1.1 200\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY),
    "odd reason": b"HTTP/1.1 299 \xc3\xa4\xff ok?!\r\nContent-Length: 0\r\n\r\n",
    "chunked": CHUNKED + HALVES + b"0\r\n\r\n",
    "chunk extension": CHUNKED + b"%X;a=b\r\n%b\r\n0;x\r\n\r\n" % (len(BODY), BODY),
    "trailers": CHUNKED + HALVES + b"0\r\nExpires: never\r\nX: y\r\n\r\n",
    "leading zeros": CHUNKED + b"000%x\r\n%b\r\n000\r\n\r\n" % (len(BODY), BODY),
    "100": b"HTTP/1.1 100 Continue\r\n\r\n" + LENGTH,
    "102 and 103": b"HTTP/1.1 102 P\r\n\r\nHTTP/1.1 103 E\r\nLink: </x>\r\n\r\n" + LENGTH,
    "until close": OK + b"X: y\r\n\r\n" + BODY,
    "http/1.0": b"HTTP/1.0 200 OK\r\n\r\n" + BODY,
    "http/1.0 length": b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY),
    "204": b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
    "304": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 999\r\n\r\n",
    "close": b"HTTP/1.1 413 No\r\nConnection: Close\r\nContent-Length: %d\r\n\r\n%b"
    % (len(BODY), BODY),
    "repeated fields": b"HTTP/1.1 200 OK\r\nA: 1\r\na: 2\r\nContent-Length: 0\r\nA: 3\r\n\r\n",
    "equal lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "empty chunked": CHUNKED + b"0\r\n\r\n",
    "binary": OK + b"Content-Length: 256\r\n\r\n" + bytes(range(256)),
}


def fields(headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower(), value.strip()) for name, value in headers]


def _zipped(data: bytes) -> bytes:
    """Compress without a time, so that every worker has the same test."""
    return gzip.compress(data, mtime=0)


@pytest.mark.parametrize("name", CORPUS)
@pytest.mark.parametrize("size", ["whole", "bytes"])
def test_odd_but_legal_answers_are_those_that_h11_reads(name: str, size: str) -> None:
    answer = CORPUS[name]
    pieces = [answer] if size == "whole" else [answer[i : i + 1] for i in range(len(answer))]
    expected = by_h11(pieces, end=True)
    assert expected is not None
    talk = Talk()
    talk.send()
    talk.feed(pieces, end=True)
    exchange = talk.only
    assert (exchange.failure, exchange.status, exchange.body) == (None, expected[0], expected[2])
    assert fields(exchange.headers) == fields(expected[1])


@pytest.mark.parametrize("name", CORPUS)
def test_where_an_answer_is_cut_makes_no_difference(name: str) -> None:
    answer = CORPUS[name]
    whole = Talk()
    whole.send()
    whole.feed([answer], end=True)
    for cut in range(1, len(answer)):
        talk = Talk()
        talk.send()
        talk.feed([answer[:cut], answer[cut:]], end=True)
        exchange = talk.only
        assert (exchange.failure, exchange.status, exchange.body, exchange.headers) == (
            (None, whole.only.status, whole.only.body, whole.only.headers)
        )


@pytest.mark.parametrize("name", CORPUS)
def test_an_answer_that_ends_early_is_lost_or_ends_with_the_connection(name: str) -> None:
    answer = CORPUS[name]
    for cut in range(len(answer)):
        talk = Talk()
        talk.send()
        talk.feed([answer[:cut]], end=True)
        exchange = talk.only
        if exchange.failure is None:  # what h11, too, takes for complete
            try:
                expected = by_h11([answer[:cut]], end=True)
            except h11.RemoteProtocolError:
                expected = None
            assert expected is not None, answer[:cut]
            assert (exchange.status, exchange.body) == (expected[0], expected[2])
        else:
            assert exchange.failure is Failure.LOST
            assert exchange.detail


@pytest.mark.parametrize("first", CORPUS)
def test_the_next_answer_on_the_connection_is_the_next_requests(first: str) -> None:
    talk = Talk()
    talk.send()
    talk.feed([CORPUS[first]])
    if not talk.idle:
        return
    talk.send()
    talk.feed([LENGTH.replace(b"200 OK", b"201 Made")])
    assert [exchange.status for exchange in talk.got][1:] == [201]
    assert talk.got[1].body == BODY


@pytest.mark.parametrize(
    "answer",
    [
        LENGTH + LENGTH,
        LENGTH + b"x",
        CHUNKED + b"0\r\n\r\n" + LENGTH,
        b"HTTP/1.1 204 No\r\n\r\n" + LENGTH,
        LENGTH + b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
)
def test_what_follows_an_answer_is_never_taken_for_another(answer: bytes) -> None:
    for cut in range(1, len(answer) + 1):
        talk = Talk()
        talk.send()
        talk.feed([answer[:cut], answer[cut:]])
        assert talk.only.failure is None
        assert talk.only.body in (BODY, b"")
        assert talk.socket.closed or not talk.idle or cut == len(answer)
        assert talk.socket.closed


def test_an_answer_to_head_has_no_body_whatever_its_length_says() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"
    talk = Talk()
    for _ in range(3):
        talk.send(HEAD)
        talk.feed([head[:20], head[20:]])
        assert talk.idle
    assert [(e.status, e.body, e.failure) for e in talk.got] == [(200, b"", None)] * 3
    talk.send()
    talk.feed([LENGTH])
    assert talk.got[-1].body == BODY


def test_a_body_in_answer_to_head_ends_the_connection() -> None:
    talk = Talk()
    talk.send(HEAD)
    talk.feed([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"])
    assert talk.only.body == b""
    assert talk.socket.closed


def test_an_answer_before_the_request_is_written_ends_the_connection() -> None:
    talk = Talk()
    talk.send()
    talk.connection.pause_writing()
    talk.feed([LENGTH])
    assert talk.only.status == 200
    assert talk.socket.closed
    assert not talk.idle


@pytest.mark.parametrize("step", [100, 60_000, 1_000_000])
def test_a_head_beyond_the_cap_is_refused_however_it_comes(step: int) -> None:
    head = OK + b"".join(b"X-%d: %b\r\n" % (n, b"a" * 1000) for n in range(70)) + b"\r\n"
    talk = Talk()
    talk.send()
    talk.feed([head[i : i + step] for i in range(0, len(head), step)])
    assert talk.only.failure is Failure.UNREADABLE
    assert talk.only.detail == f"the answer's head exceeds {MAX_HEAD_BYTES:,} bytes"


def test_interim_answers_without_end_are_refused() -> None:
    talk = Talk()
    talk.send()
    talk.feed([b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n"] * 10_000)
    assert talk.only.failure is Failure.UNREADABLE


@pytest.mark.parametrize("step", [1000, 16_384, 250_000, MAX_BODY_BYTES * 2])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_beyond_the_cap_is_refused_however_it_comes(step: int, chunked: bool) -> None:
    body = bytes(MAX_BODY_BYTES + 1)
    if chunked:
        answer = CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    else:
        answer = OK + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    talk = Talk()
    talk.send()
    talk.feed([answer[i : i + step] for i in range(0, len(answer), step)])
    assert talk.only.failure is Failure.UNREADABLE
    assert talk.only.detail == f"the answer's body exceeds {MAX_BODY_BYTES:,} bytes"


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def coded(coding: bytes, body: bytes) -> Exchange:
    head = OK + b"Content-Encoding: %b\r\nContent-Length: %d\r\n\r\n" % (coding, len(body))
    talk = Talk()
    talk.send()
    talk.feed([head, body])
    return talk.only


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        (b"gzip", _zipped(BODY)),
        (b"GZip", _zipped(BODY[:5]) + _zipped(BODY[5:])),
        (b"x-gzip", _zipped(BODY)),
        (b"deflate", zlib.compress(BODY)),
        (b"deflate", raw_deflate(BODY)),
        (b"deflate, gzip", _zipped(zlib.compress(BODY))),
        (b"identity", BODY),
    ],
)
def test_content_codings_are_removed(coding: bytes, body: bytes) -> None:
    exchange = coded(coding, body)
    assert (exchange.failure, exchange.body) == (None, BODY)


@pytest.mark.parametrize(
    ("coding", "body", "words"),
    [
        (b"gzip", BODY, "content coding is broken"),
        (b"br", BODY, "coded with br, and only gzip, deflate are understood"),
        (b"gzip, x-own", BODY, "coded with x-own"),
        (b"gzip," * 9, BODY, "coded 9 times over"),
        (b"gzip", _zipped(b"") * 160_000, "more than 10,000 gzip members"),
        (b"gzip", _zipped(BODY)[:-9], "it ends early"),
        (b"deflate", b"\xff\xff\xff", "content coding is broken"),
        (b"gzip", _zipped(bytes(MAX_BODY_BYTES + 1)), "when unpacked"),
        (b"gzip", _zipped(bytes(MAX_BODY_BYTES)) * 2, "when unpacked"),
    ],
)
def test_a_broken_coding_or_a_bomb_is_a_clear_failure(
    coding: bytes, body: bytes, words: str
) -> None:
    exchange = coded(coding, body)
    assert exchange.failure is Failure.UNREADABLE
    assert words in exchange.detail


@pytest.mark.parametrize("coding", [b"gzip, chunked", b"identity", b"gzip"])
def test_a_transfer_coding_other_than_chunked_is_a_clear_failure(coding: bytes) -> None:
    talk = Talk()
    talk.send()
    talk.feed([OK + b"Transfer-Encoding: %b\r\n\r\n0\r\n\r\n" % coding], end=True)
    assert talk.only.failure is Failure.UNREADABLE
    assert coding.decode() in talk.only.detail


TOKENS = st.sampled_from([
    b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 204 X\r\n", b"HTTP/1.1 999 X\r\n", b"HTTP/2 200\r\n",
    b"HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"Content-Length: -1\r\n",
    b"Content-Length: 5, 5\r\n", b"Content-Length: 99999999999999999999\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip, chunked\r\n",
    b"Transfer-Encoding: identity\r\n", b"Connection: close\r\n", b"Connection: keep-alive\r\n",
    b"X-A: b\r\n", b"X-A : b\r\n", b" folded\r\n", b"NoColon\r\n", b"\r\n", b"\n", b"hello",
    b"5\r\nhello\r\n", b"0\r\n\r\n", b"0\r\n", b"zz\r\n", b"\x00", b"\xff",
    b"ffffffffffffffffff\r\n",
])  # fmt: skip


HEADS = re.compile(
    rb"\A(?:HTTP/1\.[01] 1\d\d[^\r\n]*\r?\n(?:.+\n)*?\r?\n)*HTTP/1\.[01] \d{3}[^\r\n]*"
)
"""The status lines of an answer and of interim ones before it."""


def forgiven(answer: bytes) -> bytes:
    """Mend what h11 refuses and what means nothing.

    Empty lines before the first line are overlooked, as RFC 9112 section 2.2 has it for requests,
    and a reason phrase is not read at all (section 4).
    """
    return HEADS.sub(without_reasons, answer.lstrip(b"\r\n"))


def without_reasons(match: re.Match[bytes]) -> bytes:
    return re.sub(rb"(?m)^(HTTP/1\.[01] \d{3})(?: [^\r\n]*)?", rb"\1 X", match[0])


@settings(max_examples=300, deadline=None)
@given(
    tokens=st.lists(TOKENS, max_size=9),
    base=st.sampled_from(sorted(CORPUS)),
    random=st.randoms(use_true_random=False),
    end=st.booleans(),
)
@example(
    tokens=[b"HTTP/1.1 200 OK\r\n", b"Content-Length: 5\r\n", b"\r\n", b"hello"],
    base="length",
    random=None,
    end=True,
)
def test_any_bytes_give_what_h11_reads_or_a_clear_failure(
    tokens: list[bytes], base: str, random: Any, end: bool
) -> None:
    answer = b"".join(tokens)
    if random is not None and random.random() < 0.5:  # or a legal one, damaged
        legal = bytearray(CORPUS[base])
        for _ in range(random.randint(1, 3)):
            place = random.randrange(len(legal))
            if random.random() < 0.5:
                legal[place] = random.randrange(256)
            else:
                del legal[place]
        answer = bytes(legal)
    cuts = sorted(random.sample(range(len(answer)), min(3, len(answer)))) if random else []
    pieces = [answer[a:b] for a, b in zip([0, *cuts], [*cuts, len(answer)], strict=True)]
    talk = Talk()
    talk.send()
    talk.feed(pieces, end=end)
    if not end and not talk.got:
        assert talk.active  # still under way: its deadline will end it
        talk.connection.connection_lost(None)
    exchange = talk.only
    if exchange.failure is not None:
        assert exchange.failure in (Failure.LOST, Failure.UNREADABLE)
        assert exchange.detail
        return
    try:
        expected = by_h11([forgiven(answer)], end=True)
    except h11.RemoteProtocolError as error:
        pytest.fail(f"h11 refuses {answer!r}: {error}; here {exchange.status} {exchange.body!r}")
    assert expected is not None, answer
    assert (exchange.status, exchange.body) == (expected[0], expected[2])


@settings(max_examples=300, deadline=None)
@given(
    first=st.sampled_from(sorted(CORPUS)),
    second=st.sampled_from(sorted(CORPUS)),
    random=st.randoms(use_true_random=False),
    end=st.booleans(),
)
def test_a_head_that_is_remembered_changes_nothing(
    first: str, second: str, random: Any, end: bool
) -> None:
    """An answer on a used connection is what it is on a fresh one, whatever came before."""
    answer = bytearray(CORPUS[second if random.random() < 0.5 else first])
    for _ in range(random.randint(0, 2)):
        answer[random.randrange(len(answer))] = random.randrange(256)
    cut = random.randrange(len(answer)) if random.random() < 0.5 else 0
    pieces = [bytes(answer[:cut]), bytes(answer[cut:])]
    used, fresh = Talk(), Talk()
    used.send()
    used.feed([CORPUS[first]])
    if not used.idle:
        return
    for talk in (used, fresh):
        talk.send()
        talk.feed(pieces, end=end)
        if not end and talk.active:
            talk.connection.connection_lost(None)
    one, other = used.got[1], fresh.only
    assert len(used.got) == 2
    assert (one.status, one.headers, one.body, one.failure, one.detail) == (
        other.status, other.headers, other.body, other.failure, other.detail,
    )  # fmt: skip
    assert (used.idle, used.socket.closed) == (fresh.idle, fresh.socket.closed)


@pytest.mark.parametrize("status", [b"000", b"099"])
@pytest.mark.parametrize("apart", [True, False])
def test_a_status_below_100_is_none(status: bytes, apart: bool) -> None:
    """Not an interim answer either, whose bytes could be taken for the next one's."""
    odd = b"HTTP/1.1 %b E\r\nContent-Length: 5\r\n\r\nhello" % status
    talk = Talk()
    talk.send()
    talk.feed([odd, LENGTH] if apart else [odd + LENGTH])
    assert talk.only.failure is Failure.UNREADABLE
    assert f"no status code {status.decode()}" in talk.only.detail
