"""An emulator without a socket, and the same one behind a socket."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime as dt
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest
from anyio.from_thread import start_blocking_portal

from loadcheck.emulator.commit import Journal
from loadcheck.emulator.config import parse
from loadcheck.emulator.message import Answer, Request
from loadcheck.emulator.protocol import Clock
from loadcheck.emulator.service import Emulator
from loadcheck.emulator.standalone import Control, serving

API_KEY = "an-api-key-of-the-tests"
SECRET_KEY = "a-secret-key-of-the-tests"
NOON = dt.datetime(2026, 6, 15, 12, tzinfo=dt.UTC)  # a Monday


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out a file of long tests: its cases take seconds to lay out when it is only read."""
    unwanted = config.option.markexpr == "not long"
    return True if unwanted and collection_path.name == "test_openapi.py" else None


class Project:
    """One emulator whose clock stands still at noon of Monday, 2026-06-15, until it is moved."""

    def __init__(self, *, journal: Journal | None = None, **config: Any) -> None:
        self.clock = Clock()
        self.clock.stop()
        self.clock.set_to(int(NOON.timestamp() * 1000))
        keys = {"api_key": API_KEY, "secret_key": SECRET_KEY}
        self.emulator = Emulator(parse(keys | config), self.clock, journal)

    @property
    def now_ms(self) -> int:
        return self.clock.now_ms()

    def move(self, **duration: float) -> None:
        """Let time pass: ``move(days=7)``."""
        self.clock.advance(dt.timedelta(**duration).total_seconds() * 1000)

    def request(
        self, method: str, target: str, body: bytes = b"", *, front: bool = False, **headers: str
    ) -> Answer:
        """Send a request to this project, or to the front of all of them."""
        path, _, query = target.partition("?")
        fields = [
            (name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()
        ]
        answering = self.emulator if front else self.emulator.router
        answer = answering(Request(method, path, query.encode(), fields, body))
        return answer if isinstance(answer, Answer) else asyncio.run(_awaited(answer))

    def post(self, payload: Any, path: str = "/2/httpapi") -> tuple[int, Any]:
        """Upload a payload as it is."""
        body = payload if isinstance(payload, bytes) else orjson.dumps(payload)
        answer = self.request("POST", path, body, content_type="application/json")
        return answer.status, orjson.loads(answer.body)

    def upload(self, *events: Any, path: str = "/2/httpapi", **more: Any) -> Any:
        """Upload events and return the body of the answer."""
        return self.post({"api_key": API_KEY, "events": list(events), **more}, path)[1]

    def user(self, user_id: str, event_type: str = "probe", /, **fields: Any) -> Any:
        """Upload one event."""
        return self.upload({"user_id": user_id, "event_type": event_type, **fields})

    def ask(self, path: str, /, **parameters: Any) -> tuple[int, Any]:
        """Send an authorized GET and return its status and body."""
        answer = self.asked(path, **parameters)
        return answer.status, orjson.loads(answer.body)

    def asked(self, path: str, /, **parameters: Any) -> Answer:
        pair = base64.b64encode(f"{API_KEY}:{SECRET_KEY}".encode()).decode()
        query = urlencode(
            {
                name: value if isinstance(value, str | int) else orjson.dumps(value)
                for name, value in parameters.items()
            }
        )
        return self.request("GET", f"{path}?{query}", authorization=f"Basic {pair}")

    def chart(self, event_type: str = "probe", /, **parameters: Any) -> Any:
        """Ask for a segmentation of today, and return the whole body of the answer."""
        today = f"{dt.datetime.fromtimestamp(self.now_ms / 1000, dt.UTC):%Y%m%d}"
        event = {"event_type": event_type}
        for key in ("filters", "group_by"):
            if key in parameters:
                event[key] = parameters.pop(key)
        asked = {"e": event, "start": today, "end": today} | parameters
        status, body = self.ask("/api/2/events/segmentation", **asked)
        return body if status == 200 else {"status": status, **body}

    def count(self, event_type: str = "probe", /, **parameters: Any) -> Any:
        """Ask for the one number of a segmentation of today."""
        body = self.chart(event_type, **parameters)
        return body["data"]["seriesCollapsed"][0][0]["value"]

    def groups(self, event_type: str = "probe", /, **parameters: Any) -> dict[str, Any]:
        """Ask for a grouped segmentation of today: label to number."""
        data = self.chart(event_type, **parameters)["data"]
        values = [line[0]["value"] for line in data["seriesCollapsed"]]
        return {
            label: value for (_, label), value in zip(data["seriesLabels"], values, strict=True)
        }

    @property
    def truth(self) -> dict[str, list[str | None]]:
        """Whom each fault hit."""
        return {
            fault.kind: fault.truth.as_json()["user_ids"] for fault in self.emulator.injector.faults
        }


async def _awaited(answer: Awaitable[Answer]) -> Answer:
    return await answer


Make = Callable[..., Project]


@pytest.fixture
def make() -> Make:
    """Make a project, told what a scenario's ``[target]`` would tell it."""
    return Project


@pytest.fixture
def project() -> Project:
    """A project without limits, faults or delay."""
    return Project()


class Served:
    """A project behind a socket on loopback, with real time and a control endpoint."""

    def __init__(self, project: Project, url: str) -> None:
        self.project = project
        self.url = url
        self.port = int(url.rpartition(":")[2])
        self.control = f"{url}/control"

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)


def stored(served: Served) -> tuple[int, int, int]:
    """Return how many users and events there are, and how many duplicates were discarded."""
    state = served.project.emulator.state()
    return state["users"], state["events"], state["duplicates"]


Serve = Callable[..., Served]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serve projects, told what a scenario's ``[target]`` would tell them, until the test ends."""
    with contextlib.ExitStack() as stack:
        portal = stack.enter_context(
            start_blocking_portal("asyncio", backend_options={"use_uvloop": True})
        )

        def serve(**config: Any) -> Served:
            project = Project(**config)
            project.clock.start()
            Control(project.emulator).install(project.emulator.router, "/control")
            url = stack.enter_context(
                portal.wrap_async_context_manager(serving(project.emulator, "127.0.0.1", 0))
            )
            return Served(project, url)

        yield serve
