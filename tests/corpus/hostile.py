"""Servers that do what servers should not, drawn by a seed, and what each of them truly did."""

from __future__ import annotations

import gzip
import json
import random
import socket
import struct
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import anyio
import anyio.abc
from anyio.streams.tls import TLSStream

from tests.load.transport.peer import read_request

ACK, REJ, IND = "acknowledged", "rejected", "indeterminate"
Stream = anyio.abc.ByteStream


@dataclass
class Deed:
    """What a server does about one request.

    Attributes:
        name: For messages.
        commits: Whether it does what is asked.
        allowed: Outcomes that may be told of it.
        act: Answers; returns whether the connection goes on.
        closes: Whether the connection ends unannounced, so that the next request may meet that.
    """

    name: str
    commits: bool
    allowed: frozenset[str]
    act: Callable[[Stream, bytes, random.Random], Awaitable[bool]]
    closes: bool = False


def answer(token: bytes, status: bytes = b"200 OK", fields: bytes = b"") -> bytes:
    """Return a plain answer that bears a token."""
    body = json.dumps({"token": token.decode()}).encode()
    return b"HTTP/1.1 %b\r\n%bContent-Length: %d\r\n\r\n%b" % (status, fields, len(body), body)


def _body(token: bytes) -> bytes:
    return json.dumps({"token": token.decode()}).encode()


def _sends(
    make: Callable[[bytes], bytes], *, goes_on: bool
) -> Callable[[Stream, bytes, random.Random], Awaitable[bool]]:
    async def act(stream: Stream, token: bytes, chance: random.Random) -> bool:
        data = make(token)
        if chance.random() < 0.5:
            await stream.send(data)
        else:  # in pieces, each of which comes on its own
            cuts = sorted(chance.sample(range(len(data)), min(3, len(data))))
            for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
                if start < end:
                    await stream.send(data[start:end])
                    await anyio.sleep(0.005)
        if not goes_on and isinstance(stream, TLSStream):
            with anyio.move_on_after(0.2):
                await stream.unwrap()
        return goes_on

    return act


def _fixed(data: bytes, _token: bytes) -> bytes:
    return data


def _chunked(token: bytes) -> bytes:
    body = _body(token)
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:5], body[5:]))
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


def _coded(coding: bytes, body: bytes, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\nContent-Length: %d\r\n\r\n%b" % (
        coding,
        size,
        body,
    )


async def _reset(stream: Stream, _token: bytes, _chance: random.Random) -> bool:
    inner: Any = stream.transport_stream if isinstance(stream, TLSStream) else stream
    raw = inner.extra(anyio.abc.SocketAttribute.raw_socket)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await inner.aclose()
    return False


async def _cut(stream: Stream, _token: bytes, _chance: random.Random) -> bool:
    inner: Any = stream.transport_stream if isinstance(stream, TLSStream) else stream
    await inner.aclose()
    return False


async def _half_reset(stream: Stream, token: bytes, chance: random.Random) -> bool:
    data = answer(token)
    await stream.send(data[: chance.randrange(1, len(data))])
    await anyio.sleep(0.02)
    return await _reset(stream, token, chance)


async def _stall(stream: Stream, _token: bytes, _chance: random.Random) -> bool:
    await anyio.sleep(30)
    return False


async def _half_stall(stream: Stream, token: bytes, chance: random.Random) -> bool:
    data = answer(token)
    await stream.send(data[: chance.randrange(1, len(data))])
    return await _stall(stream, token, chance)


def _drips(data: bytes) -> Callable[[Stream, bytes, random.Random], Awaitable[bool]]:
    async def act(stream: Stream, _token: bytes, _chance: random.Random) -> bool:
        await stream.send(data)
        while True:
            await stream.send(b"x")
            await anyio.sleep(0.02)

    return act


async def _endless_head(stream: Stream, _token: bytes, _chance: random.Random) -> bool:
    await stream.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        await stream.send(b"X-Filler: %b\r\n" % (b"y" * 4000))


async def _endless_interim(stream: Stream, _token: bytes, _chance: random.Random) -> bool:
    while True:
        await stream.send(b"HTTP/1.1 103 Early Hints\r\nLink: </%b>\r\n\r\n" % (b"z" * 2000))


_OK = frozenset({ACK})
_NO = frozenset({REJ})
_OPEN = frozenset({IND})
_EITHER = frozenset({ACK, IND})

_ALIEN = answer(b"alien")


def _deeds() -> list[Deed]:
    deeds = []

    def add(
        name: str,
        make: Callable[[bytes], bytes],
        allowed: frozenset[str],
        *,
        commits: bool = True,
        goes_on: bool = True,
        announced: bool = False,
    ) -> None:
        act = _sends(make, goes_on=goes_on)
        deeds.append(Deed(name, commits, allowed, act, closes=not goes_on and not announced))

    def own(
        name: str,
        act: Callable[[Stream, bytes, random.Random], Awaitable[bool]],
        *,
        commits: bool,
    ) -> None:
        deeds.append(Deed(name, commits, _OPEN, act))

    head = b"HTTP/1.1 200 OK\r\n"
    # what is odd and legal
    add("plain", answer, _OK)
    add("plain again", answer, _OK)
    add("chunked", _chunked, _OK)
    add("kept alive for a while", lambda t: answer(t, fields=b"Keep-Alive: timeout=5\r\n"), _OK)
    add(
        "announced close",
        lambda t: answer(t, fields=b"Connection: close\r\n"),
        _OK,
        goes_on=False,
        announced=True,
    )
    add("unannounced close", answer, _OK, goes_on=False)
    add("until close", lambda t: head + b"Connection: close\r\n\r\n" + _body(t), _OK, goes_on=False)
    add("http/1.0", lambda t: b"HTTP/1.0 200 OK\r\n\r\n" + _body(t), _OK, goes_on=False)
    add("interim", lambda t: b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + answer(t), _OK)
    add("gzip", lambda t: _coded(b"gzip", gzip.compress(_body(t))), _OK)
    add("deflate", lambda t: _coded(b"deflate", zlib.compress(_body(t))), _OK)
    add("byte order mark", lambda t: _coded(b"identity", b"\xef\xbb\xbf" + _body(t)), _OK)
    # refusals
    for status in (b"400 Bad Request", b"401 No", b"413 Large", b"429 Many", b"503 Busy"):
        add(status.decode(), partial(answer, status=status), _NO, commits=False)
    for status in (b"500 Oops", b"502 Bad", b"504 Late"):
        for commits in (True, False):
            name = f"{status.decode()}, {'after' if commits else 'without'} commit"
            add(name, partial(answer, status=status), _OPEN, commits=commits)
    add("408", lambda t: answer(t, b"408 Slow"), _OPEN)
    add("redirect", lambda t: answer(t, b"302 Found", b"Location: /x\r\n"), _OPEN)
    # answers that are none
    for name, data in {
        "garbage": b"\x00\xff\x13garbage\r\n\r\n",
        "tls alert": b"\x15\x03\x03\x00\x02\x02\x28",
        "http/0.9": b"hello\n",
        "http/2": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00",
        "no status": b"HTTP/1.1 OK\r\n\r\n",
        "status 99": b"HTTP/1.1 099 x\r\nContent-Length: 0\r\n\r\n",
        "bad header": head + b"no colon here\r\nContent-Length: 0\r\n\r\n",
        "nul header": head + b"X: a\x00b\r\nContent-Length: 0\r\n\r\n",
        "negative length": head + b"Content-Length: -5\r\n\r\n",
        "huge length": head + b"Content-Length: 99999999999999999999999\r\n\r\n",
        "two lengths": head + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "bad chunk": head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        "huge chunk": head + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        "other transfer coding": head + b"Transfer-Encoding: gzip\r\n\r\nabc",
        "switched": b"HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
        "bomb": _coded(b"gzip", gzip.compress(bytes(20_000_000))),
        "empty members": _coded(b"gzip", gzip.compress(b"") * 20_000),
        "not gzip": _coded(b"gzip", b"plainly not"),
        "gzip cut off": _coded(b"gzip", gzip.compress(b"{}")[:-4]),
        "many codings": _coded(b"gzip," * 50, b"x"),
    }.items():
        add(name, partial(_fixed, data), _OPEN, goes_on=False)
    add("br", lambda t: _coded(b"br", _body(t)), _OPEN)
    add("empty", lambda _: head + b"Content-Length: 0\r\n\r\n", _OPEN)
    add("too short", lambda t: _coded(b"identity", _body(t), 500), _OPEN, goes_on=False)
    add("length and chunks", lambda t: _chunked(t).replace(
        b"Transfer", b"Content-Length: 3\r\nTransfer"), _EITHER, goes_on=False)  # fmt: skip
    add("bare newlines", lambda t: answer(t).replace(b"\r\n", b"\n"), _EITHER, goes_on=False)
    # more than was asked for, in one piece with it
    deeds.append(Deed("surplus", True, _EITHER, _surplus))
    deeds.append(Deed("surplus piece", True, _EITHER, _surplus_piece))
    # ends and silences
    for commits in (True, False):
        told = "after" if commits else "without"
        for act in (_reset, _cut, _half_reset, _stall, _half_stall):
            own(f"{act.__name__.strip('_')}, {told} commit", act, commits=commits)
    own("endless head", _endless_head, commits=True)
    own("endless interim", _endless_interim, commits=True)
    own("drips a head", _drips(head + b"X: "), commits=True)
    own("drips a body", _drips(head + b"Content-Length: 100000\r\n\r\n"), commits=True)
    own("drips until close", _drips(head + b"Connection: close\r\n\r\n"), commits=True)
    return deeds


async def _surplus(stream: Stream, token: bytes, _chance: random.Random) -> bool:
    await stream.send(answer(token) + _ALIEN)
    return True


async def _surplus_piece(stream: Stream, token: bytes, _chance: random.Random) -> bool:
    await stream.send(answer(token) + _ALIEN[:30])
    return True


DEEDS = _deeds()


@dataclass
class Hostile:
    """A server; what it did is what may be told.

    Attributes:
        committed: Tokens of requests that took effect, with how often.
        deeds: Token → what is done about it.
    """

    seed: int
    committed: dict[bytes, int] = field(default_factory=dict)
    deeds: dict[bytes, Deed] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    def choose(self, token: bytes) -> Deed:
        """Draw what will be done about a request."""
        deed = self.deeds[token] = self._chance.choice(DEEDS)
        return deed

    async def __call__(self, stream: Stream) -> None:
        goes_on = True
        while goes_on:
            data = await read_request(stream)
            token: bytes = json.loads(data.partition(b"\r\n\r\n")[2])["token"].encode()
            deed = self.deeds[token]
            if deed.commits:
                self.committed[token] = self.committed.get(token, 0) + 1
            goes_on = await deed.act(stream, token, self._chance)
