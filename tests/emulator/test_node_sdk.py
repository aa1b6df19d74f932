"""Amplitude's own Node SDK, where there is a ``node`` and its package can be had."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.emulator.conftest import Serve, Served, stored

Send = Callable[..., list[tuple[str, int]]]


PACKAGE = "@amplitude/analytics-node@1.5.73"
SCRIPT = """
const patient = globalThis.setTimeout;
globalThis.setTimeout = (call, ms, ...rest) => patient(call, ms === 30000 ? 1200 : ms, ...rest);
const { createInstance } = await import('@amplitude/analytics-node');
const [url, key, batch, users] = process.argv.slice(2);
const client = createInstance();
await client.init(key, {
  serverUrl: url, flushIntervalMillis: 20, flushQueueSize: Number(batch), logLevel: 0,
}).promise;
const tracked = JSON.parse(users).map(
  (user, number) => client.track('probe', { number }, { user_id: user }).promise);
const results = await Promise.all(tracked);
console.log(JSON.stringify(results.map(result => [result.event.user_id, result.code])));
process.exit(0);
"""


@pytest.fixture(scope="session")
def package(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the SDK installed, kept between test runs where pytest keeps anything."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("needs node and npm")
    if request.config.pluginmanager.hasplugin("cacheprovider"):
        assert request.config.cache is not None
        folder = request.config.cache.mkdir("amplitude-node")
    else:
        folder = tmp_path_factory.mktemp("node")
    ready = folder / hashlib.sha256((PACKAGE + SCRIPT).encode()).hexdigest()[:16]
    if not ready.exists():
        # beside its place and then into it: neither half of it nor two of them are ever there
        with tempfile.TemporaryDirectory(dir=folder) as place:
            _install(npm, Path(place))
            with contextlib.suppress(OSError):  # another process of the same test run was faster
                Path(place).rename(ready)
                Path(place).mkdir()
    return ready


def _install(npm: str, folder: Path) -> None:
    command = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder), PACKAGE]
    try:
        installed = subprocess.run(command, capture_output=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{PACKAGE} cannot be had in time")
    if installed.returncode:
        pytest.skip(f"{PACKAGE} cannot be had")
    (folder / "send.mjs").write_text(SCRIPT, encoding="utf-8")


@pytest.fixture
def send(package: Path) -> Send:
    """Track one event per user and return what the SDK said of each."""

    def send(
        served: Served,
        users: list[str],
        *,
        path: str = "/2/httpapi",
        batch: int = 10,
        key: str = "an-api-key-of-the-tests",
    ) -> list[tuple[str, int]]:
        command = ["node", "send.mjs", f"{served.url}{path}", key, str(batch), json.dumps(users)]
        ended = subprocess.run(
            command, cwd=package, capture_output=True, text=True, timeout=30, check=True
        )
        said: list[Any] = json.loads(ended.stdout)
        return sorted((user, code) for user, code in said)

    return send


@pytest.mark.parametrize("path", ["/2/httpapi", "/batch"])
def test_it_delivers(serve: Serve, send: Send, path: str) -> None:
    served = serve()
    users = [f"user-{number:03}" for number in range(100)]
    assert send(served, users, path=path) == [(user, 200) for user in users]
    assert stored(served) == (100, 100, 0)


def test_400_drops_the_events_named_and_sends_the_rest_again(serve: Serve, send: Send) -> None:
    served = serve()
    said = send(served, ["user-1", "user-2", "unknown", "user-3"])
    assert said == [("unknown", 400), ("user-1", 200), ("user-2", 200), ("user-3", 200)]
    assert stored(served) == (3, 3, 0)


def test_a_wrong_api_key_ends_it(serve: Serve, send: Send) -> None:
    assert send(serve(), ["user-1", "user-2"], key="other") == [("user-1", 400), ("user-2", 400)]


def test_413_makes_it_send_smaller_batches(serve: Serve, send: Send) -> None:
    served = serve(limits={"base": "off", "httpapi": {"max_events": 3}})
    users = [f"user-{number}" for number in range(8)]
    assert send(served, users, batch=8) == [(user, 200) for user in users]
    assert stored(served) == (8, 8, 0)


def refused(served: Served) -> int:
    """Return how many uploads were answered with 429."""
    state = served.project.emulator.state()
    return int(state["refused"].get("/2/httpapi", {}).get("429", 0))


def test_429_makes_it_wait(serve: Serve, send: Send) -> None:
    limits = {"user_events_per_s": 1, "window_s": 2}
    project = {"project_events_per_s": "off", "project_requests_per_s": "off"}
    served = serve(limits={"base": "documented", "httpapi": limits | project})
    # however late it comes, the window has not passed
    served.project.clock.stop()
    for _ in range(2):
        served.project.user("user-2")
    users = ["user-1", "user-2", "user-3"]
    with ThreadPoolExecutor(1) as others:
        sent = others.submit(send, served, users)
        while not refused(served) and not sent.done():
            time.sleep(0.01)
        served.project.clock.start()
    assert sent.result() == [(user, 200) for user in users]
    assert refused(served) >= 1
    assert stored(served) == (3, 5, 0)


def test_503_and_500_make_it_retry_without_duplicates(serve: Serve, send: Send) -> None:
    served = serve(
        faults={
            "error_before_commit": {"count": 1, "status": 503},
            "error_after_commit": {"count": 1, "status": 500},
        }
    )
    assert send(served, ["user-1", "user-2"]) == [("user-1", 200), ("user-2", 200)]
    assert stored(served) == (2, 2, 2)
