"""``loadcheck preflight``: each kind of wrong set-up told as what it is."""

from __future__ import annotations

import base64
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from email.utils import formatdate
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from loadcheck import scenario as scenarios
from loadcheck.emulator.config import parse
from loadcheck.emulator.service import Emulator
from loadcheck.emulator.standalone import serving
from loadcheck.errors import InputError
from loadcheck.pipeline import Options
from loadcheck.pipeline.preflight import preflight

SMOKE = Path(__file__).resolve().parents[2] / "scenarios" / "smoke.toml"
KEY, SECRET = "key-of-a-test", "secret-of-a-test"
OTHER_KEY, OTHER_SECRET = "key-of-another", "secret-of-another"
EMULATOR = {
    "api_key": KEY,
    "secret_key": SECRET,
    "region": "us",
    "projects": [
        {"api_key": OTHER_KEY, "secret_key": OTHER_SECRET, "region": "us"},
        {"api_key": "key-of-the-eu", "secret_key": "secret-of-the-eu", "region": "eu"},
    ],
}
REGIONS = {"127.0.0.1": "US", "api.eu.amplitude.com": "EU"}
EU = {"127.0.0.1": "EU", "api2.amplitude.com": "US"}


def basic(key: str, secret: str) -> str:
    return base64.b64encode(f"{key}:{secret}".encode()).decode()


async def look(
    url: str,
    *,
    key: str = KEY,
    pair: tuple[str, str] = (KEY, SECRET),
    regions: Mapping[str, str] = REGIONS,
    query_url: str = "",
    overrides: tuple[str, ...] = (),
) -> dict[str, Any]:
    asked = query_url or url
    hosts = ", ".join(f'"{host}" = "{region}"' for host, region in regions.items())
    loaded = scenarios.load(
        SMOKE,
        overrides=[
            f"target={{kind='live', servers={{httpV2Api='{url}', dashboardRestApi='{asked}'}}}}",
            f'inputs.apiKey="{key}"',
            f'inputs.basicAuth="{basic(*pair)}"',
            f"service.regions={{{hosts}}}",
            *overrides,
        ],
    )
    return await preflight(loaded, Options(), within_s=1.0)


def wrong(found: Mapping[str, Any]) -> dict[str, str]:
    return {each["name"]: each["told"] for each in found["checks"] if each["state"] == "wrong"}


@contextlib.asynccontextmanager
async def emulator(**config: Any) -> AsyncIterator[str]:
    async with serving(Emulator(parse({**EMULATOR, **config})), "127.0.0.1", 0) as url:
        yield url


@pytest.mark.anyio
async def test_what_is_right_is_told_within_five_seconds() -> None:
    async with emulator(visibility_delay="200ms") as url:
        began = time.monotonic()
        found = await look(url)
    assert found["state"] == "ok", found
    assert time.monotonic() - began < 5
    named = [each["name"] for each in found["checks"] if each["state"] == "ok"]
    assert named == ["region", "upload", "query", "project", "deduplication", "days"]
    assert KEY not in str(found)
    days = found["checks"][-1]["told"]
    assert "no API returns the project's time zone" in days
    assert "right in every zone" in days


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"key": "key-of-nobody"}, {"upload": "does not know the API key"}),
        ({"pair": (KEY, "not-the-secret")}, {"query": "does not know the credentials"}),
        (
            {"pair": (OTHER_KEY, OTHER_SECRET)},
            {"project": "the keys of upload and query are of different projects"},
        ),
        (
            {"key": "key-of-the-eu", "pair": ("key-of-the-eu", "secret-of-the-eu")},
            {"upload": "API key", "query": "credentials", "region": "asked in US: are they of EU"},
        ),
        (
            {"regions": EU, "key": "key-of-us", "pair": ("key-of-us", "secret-of-us")},
            {"upload": "API key", "query": "credentials", "region": "asked in EU: are they of US"},
        ),
        (
            {
                "regions": {"127.0.0.1": "US", "localhost": "EU"},
                "query_url": "http://localhost:9",
            },
            {"region": "localhost is in EU"},
        ),
    ],
)
async def test_a_wrong_set_up_is_told_as_what_it_is(
    options: dict[str, Any], expected: dict[str, str]
) -> None:
    async with emulator() as url:
        found = await look(url, **options)
    assert found["state"] == "wrong"
    told = wrong(found)
    assert set(told) == set(expected), found
    for name, words in expected.items():
        assert words in told[name]


SHORT = b'{"code":400,"error":"Invalid id length for user_id or device_id"}'
UPLOADED = b'{"code":200,"events_ingested":1}'


@contextlib.asynccontextmanager
async def server(
    status: int, body: bytes, *, date_s: float | None = None, counts: int | None = None
) -> AsyncIterator[str]:
    """Answer uploads so, and queries with a count if one is given, else likewise."""

    async def handle(stream: SocketStream) -> None:
        async with stream:
            kept = b""
            with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                while True:
                    while b"\r\n\r\n" not in kept:
                        kept += await stream.receive()
                    head, _, rest = kept.partition(b"\r\n\r\n")
                    length = int(
                        (head.lower().partition(b"content-length:")[2].split(b"\r")[0]) or 0
                    )
                    while len(rest) < length:
                        rest += await stream.receive()
                    kept = rest[length:]
                    query = head.startswith(b"GET") and counts is not None
                    text = b'{"data":{"seriesCollapsed":[[{"value":%d}]]}}' % (counts or 0)
                    given = text if query else body
                    date = "" if date_s is None else f"date: {formatdate(date_s, usegmt=True)}\r\n"
                    answer = f"HTTP/1.1 {200 if query else status} X\r\n{date}"
                    answer += f"content-type: application/json\r\ncontent-length: {len(given)}"
                    await stream.send(answer.encode() + b"\r\n\r\n" + given)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, handle)
        port = listener.extra(SocketAttribute.local_port)
        yield f"http://127.0.0.1:{port}"
        tasks.cancel_scope.cancel()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answers", "name", "words"),
    [
        ({"status": 429, "body": b"{}"}, "upload", "has had too many requests (429)"),
        ({"status": 503, "body": b"{}"}, "upload", "is out of order (503)"),
        ({"status": 400, "body": SHORT}, "upload", "refuses the user id as too short"),
        ({"status": 404, "body": b"<html>"}, "upload", "answers 404, which is not an API"),
        ({"status": 200, "body": UPLOADED, "counts": 2}, "deduplication", "counts 2 times"),
        ({"status": 200, "body": UPLOADED, "counts": 0}, "project", "different projects"),
        ({"status": 200, "body": UPLOADED}, "query", "no number of uniques"),
        (
            {"status": 200, "body": UPLOADED, "counts": 1, "date_s": time.time() - 600},
            "clock",
            "s ahead of the service's",
        ),
    ],
)
async def test_a_wrong_server_is_told_as_what_it_is(
    answers: dict[str, Any], name: str, words: str
) -> None:
    async with server(**answers) as url:
        found = await look(url, regions={})
    assert found["state"] == "wrong"
    assert words in wrong(found)[name]


@pytest.mark.anyio
@pytest.mark.parametrize("side", ["upload", "query"])
async def test_a_side_that_cannot_be_reached_is_named(side: str) -> None:
    async with emulator() as url:
        dead = "http://127.0.0.1:9"
        found = await (look(dead, query_url=url) if side == "upload" else look(url, query_url=dead))
    assert "cannot be reached" in wrong(found)[side]
    assert set(wrong(found)) == {side}


@pytest.mark.anyio
async def test_what_cannot_be_looked_at_is_refused() -> None:
    with pytest.raises(InputError, match="cannot be tested by one control user"):
        await look("http://127.0.0.1:9", overrides=("verify.enabled=false",))


@pytest.mark.anyio
async def test_nobody_is_sent_whom_the_query_would_count_with_the_run() -> None:
    service = Emulator(parse(EMULATOR))
    home = SMOKE.parents[1] / "loadcheck" / "library" / "amplitude"
    bare = (
        f"workflow={{document='{home / 'workflow.yml'}'}}",
        *(
            "inputs.userId='$copy.userId'",
            "inputs.start='$run.startDay'",
            "inputs.end='$run.endDay'",
        ),
        *("verify.ingest='uploadEvents'", "verify.step='segmentEvent'"),
        "verify.uniques='$response.body#/data/seriesCollapsed/0/0/value'",
    )
    async with serving(service, "127.0.0.1", 0) as url:
        found = await look(url, overrides=bare)
    states = {each["name"]: each["state"] for each in found["checks"]}
    assert (states["upload"], states["query"], found["state"]) == ("unknown", "ok", "ok")
    assert found["spent"] == {"users": 0, "events": 0, "queries": 1, "query_cost": 1}
    assert service.state()["events"] == 0
