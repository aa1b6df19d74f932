"""Hostile servers: no request hangs, no answer is taken for another's, and no outcome is wrong."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
import trustme

from loadcheck.load.retry import attempt_outcome
from loadcheck.load.transport import LoadTransport, TransportSettings
from loadcheck.load.transport.httpx_ import httpx_transport
from loadcheck.load.transport.wire import wire_transport
from loadcheck.scenario.model import Timeouts, Tls
from loadcheck.workflow.exchange import NEVER_SENT, Exchange, Origin, Request
from tests.corpus.hostile import DEEDS, IND, Hostile
from tests.load.transport.peer import HEAD, server

pytestmark = pytest.mark.anyio
LIMITS = Timeouts(connect_s=2.0, request_s=2.0)
GRACE_S = 2.0
TOGETHER = 16
"""So many servers are met at once."""


@asynccontextmanager
async def transport(kind: str, tls: Tls) -> AsyncIterator[LoadTransport]:
    make = wire_transport if kind == "wire" else httpx_transport
    async with make(TransportSettings(max_connections=2, timeouts=LIMITS, tls=tls)) as through:
        yield through


async def met(through: LoadTransport, origin: Origin, token: bytes) -> Exchange:
    done, got = anyio.Event(), []

    def sink(exchange: Exchange) -> None:
        got.append(exchange)
        done.set()

    body = json.dumps({"token": token.decode()}).encode()
    began_s = time.monotonic()
    through.submit(Request(0, origin, HEAD, body), sink)
    await done.wait()
    took_s = time.monotonic() - began_s
    assert took_s <= LIMITS.connect_s + LIMITS.request_s + GRACE_S, f"{token!r} took {took_s:.1f} s"
    return got[0]


def judged(exchange: Exchange, token: bytes) -> str:
    """Judge an answer as a workflow does that looks at its status and at a member of its body."""
    try:
        said = exchange.json()["token"].encode() if exchange.status == 200 else None
    except (ValueError, KeyError, TypeError):
        said = None
    exchange.success = exchange.failure is None and said == token
    return attempt_outcome(exchange).value


async def one_run(kind: str, seed: int, authority: trustme.CA, pem: Path, requests: int) -> None:
    hostile = Hostile(seed)
    context = None
    if seed % 3 == 0:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1").configure_cert(context)
    async with (
        server(hostile, tls=context) as origin,
        transport(kind, Tls(ca=pem)) as through,
    ):
        closing = False
        for number in range(requests):
            token = b"%d-%d" % (seed, number)
            deed = hostile.choose(token)
            exchange = await met(through, origin, token)
            outcome = judged(exchange, token)
            told = (
                f"seed {seed}, {kind}, {deed.name}: {outcome}, {exchange.status} "
                f"{exchange.failure} {exchange.detail!r}"
            )
            assert b"alien" not in exchange.body, f"mixed: {told}"
            assert outcome in deed.allowed or (closing and outcome == IND), told
            committed = hostile.committed.get(token, 0)
            assert outcome != "acknowledged" or committed == 1, told
            assert outcome != "rejected" or committed == 0, told
            assert exchange.failure not in NEVER_SENT, told
            closing = deed.closes or deed.name.startswith("surplus")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[trustme.CA, Path]:
    ca, pem = trustme.CA(), tmp_path_factory.mktemp("hostile") / "ca.pem"
    ca.cert_pem.write_to_path(pem)
    return ca, pem


async def several(
    kind: str, seeds: range, authority: tuple[trustme.CA, Path], requests: int
) -> None:
    left = iter(seeds)

    async def work() -> None:
        for seed in left:
            await one_run(kind, seed, *authority, requests)

    async with anyio.create_task_group() as tasks:
        for _ in range(TOGETHER):
            tasks.start_soon(work)


def test_there_is_enough_of_everything() -> None:
    names = [deed.name for deed in DEEDS]
    assert len(names) == len(set(names)) >= 60


@pytest.mark.parametrize("kind", ["wire", "httpx"])
async def test_a_few(kind: str, authority: tuple[trustme.CA, Path]) -> None:
    await several(kind, range(1000, 1016), authority, 3)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["wire", "httpx"])
@pytest.mark.parametrize("block", range(4))
async def test_hundreds(kind: str, block: int, authority: tuple[trustme.CA, Path]) -> None:
    await several(kind, range(80 * block, 80 * (block + 1)), authority, 8)
