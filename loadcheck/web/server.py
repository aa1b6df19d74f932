"""Serves the page of a run to its viewers, and its metrics: ``python -m loadcheck.web.server``.

Started by a run, not by a user. Only a viewer with the token of its address may see the page.
Another site that a viewer has open is kept out by the host names and origins that are accepted,
even if its name is made to point here (DNS rebinding).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any, Final

import orjson
import uvicorn
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from loadcheck.report.metrics import CONTENT_TYPE
from loadcheck.web.state import State

_MOST_LINE_BYTES: Final = 1 << 30
_NICE: Final = 19
_AGAIN_S: Final = 3.0
"""A viewer is sent the state at least this often."""
_LAST_LOOK_S: Final = 3.0
"""How long viewers have, after the end, to fetch the finished report."""
_HTML: Final = "text/html; charset=utf-8"
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

Endpoint = Callable[[Request], Awaitable[Response]]


class Site:
    """What is served, as an ASGI application.

    Args:
        token: Opens the page.
        page_port: Port of the page; None if there is none.
        metrics: Address and port of the metrics; None if there are none.

    Attributes:
        state: What is known of the run.
        viewers: Number of viewers that receive updates.
        to_come: Number of viewers that were sent the end and have not fetched the report.
    """

    def __init__(self, token: str, page_port: int | None, metrics: tuple[str, int] | None) -> None:
        self.state = State()
        self.viewers = 0
        self.to_come = 0
        self._token = token
        self._page_port = page_port
        self._metrics = metrics
        self._news = asyncio.Event()
        self._routes: Mapping[tuple[str, str], Endpoint] = {
            ("GET", "/"): self._page,
            ("GET", "/events"): self._events,
            ("POST", "/stop"): self._stop,
        }

    def take(self, message: Mapping[str, Any]) -> None:
        """Take a message from the run, and update all viewers."""
        self.state.take(message)
        self._news.set()
        self._news = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        port = (scope.get("server") or ("", None))[1]
        if self._metrics is not None and port == self._metrics[1]:
            response = self._scrape(request)
        else:
            response = self._refusal(request) or await self._answer(request)
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        await response(scope, receive, send)

    def _refusal(self, request: Request) -> Response | None:
        """Return the response that refuses a request; None if it is allowed."""
        host = request.headers.get("host", "")
        if host not in {f"{name}:{self._page_port}" for name in _LOOPBACK}:
            return _said(421, "This page is on loopback only.")
        origin = request.headers.get("origin")
        if origin is not None and origin != f"http://{host}":
            return _said(403, "Not from another site.")
        given = request.query_params.get("token", "")
        if not secrets.compare_digest(given.encode(), self._token.encode()):
            return _said(403, "Open the address that loadcheck printed: it has a token.")
        return None

    async def _answer(self, request: Request) -> Response:
        path = request.url.path
        # HEAD is for the page only: the stream of events has no end
        method = "GET" if request.method == "HEAD" and path == "/" else request.method
        endpoint = self._routes.get((method, path))
        if endpoint is not None:
            return await endpoint(request)
        allowed = [m for m, known in self._routes if known == path]
        if allowed:
            return _said(405, f"Expected {allowed[0]}.", {"Allow": ", ".join(allowed)})
        return _said(404, "There is nothing here.")

    async def _page(self, _: Request) -> Response:
        if self.state.report is not None:
            self.to_come = max(0, self.to_come - 1)
        return Response(self.state.whole(self._token), media_type=_HTML)

    async def _stop(self, request: Request) -> Response:
        if self.state.report is None:
            _say("stop")
        if "text/html" in request.headers.get("accept", ""):
            # sent by the form, without scripts: back to the page
            return Response(status_code=303, headers={"Location": f"./?token={self._token}"})
        return _said(202, "Stopping.")

    async def _events(self, _: Request) -> Response:
        return StreamingResponse(self._stream(), media_type="text/event-stream")

    async def _stream(self) -> AsyncIterator[bytes]:
        """Yield the whole state, now and whenever it has changed.

        A viewer that reads slowly gets the latest state only, and delays nobody else; one that
        reconnects or comes late has missed nothing.
        """
        self.viewers += 1
        try:
            yield b"retry: 1000\n\n"
            while True:
                news, state = self._news, self.state
                if state.report is not None:
                    self.to_come += 1
                    yield b"event: done\ndata: \n\n"
                    return
                if state.begun:
                    yield b"id: %d\nevent: state\ndata: %s\n\n" % (state.number, state.changed())
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(news.wait(), _AGAIN_S)
        finally:
            self.viewers -= 1

    def _scrape(self, request: Request) -> Response:
        assert self._metrics is not None
        host, port = self._metrics
        inside = host in _LOOPBACK or host == "::1"
        names = {f"{name}:{port}" for name in _LOOPBACK}
        if inside and request.headers.get("host", "") not in names:
            return _said(421, "These metrics are on loopback only.")
        if request.url.path != "/metrics":
            return _said(404, "The metrics are at /metrics.")
        if request.method not in ("GET", "HEAD"):
            return _said(405, "Expected GET.", {"Allow": "GET"})
        return Response(self.state.scraped(), headers={"Content-Type": CONTENT_TYPE})


def _said(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    return Response(f"{text}\n", status, headers, media_type="text/plain")


def _say(word: str) -> None:
    """Send a line to the run."""
    with contextlib.suppress(OSError):
        os.write(1, f"{word}\n".encode())


class _Server(uvicorn.Server):
    """A server that leaves signals alone: it ends when the run closes its input."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve() -> None:
    reader = asyncio.StreamReader(limit=_MOST_LINE_BYTES)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
    settings = orjson.loads(await reader.readline())
    sockets = {name: socket.socket(fileno=number) for name, number in settings["sockets"].items()}
    bound = {name: each.getsockname()[:2] for name, each in sockets.items()}
    site = Site(settings["token"], bound.get("page", ("", None))[1], bound.get("metrics"))
    config = uvicorn.Config(
        site,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=256,
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    serving = asyncio.ensure_future(server.serve(sockets=list(sockets.values())))
    # compile the templates before the load begins
    site.state.whole(settings["token"])
    site.state.changed()
    _step_back()
    _say("ready")
    try:
        while line := await reader.readline():
            site.take(orjson.loads(line))
        if site.state.report is not None:
            await _last_look(site)
    finally:
        server.should_exit = True
        await serving


def _step_back() -> None:
    """Lower the priority of this process, so that the load gets the processor first."""
    os.nice(_NICE)
    if hasattr(os, "SCHED_IDLE"):
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


async def _last_look(site: Site) -> None:
    """Wait until viewers have fetched the finished report, up to a limit."""
    until_s = time.monotonic() + _LAST_LOOK_S
    while (site.viewers or site.to_come) and time.monotonic() < until_s:  # noqa: ASYNC110  # counters
        await asyncio.sleep(0.05)


def main() -> int:
    """Serve until the run closes the input; return the exit code."""
    try:
        asyncio.run(_serve())
    except Exception as error:  # noqa: BLE001  # the run is to know, whatever it is
        _say(f"failed {type(error).__name__}: {error}".replace("\n", " "))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
