"""A small InfluxDB 1.x for tests: what the shipped ``influxdb`` workflow needs of its API.

    python -m tests.workflow.influxdb_server [--port 0] [--drop 7] [--delay 0.5]

Prints its URL on the first line and serves until stdin ends. ``--drop`` acknowledges the first so
many points and forgets them; ``--delay`` seconds pass before a point can be counted.
"""

from __future__ import annotations

import argparse
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

DATABASE = "loadcheck"

_LINE = re.compile(
    r"(?P<measurement>\w+),run=(?P<run>[\w-]+),id=(?P<id>[\w-]+)(?P<labels>(,\w+=\w+)*)"
    r' user="(?P<user>[^"]*)" (?P<time>\d+)'
)
_QUERY = re.compile(
    r'SELECT COUNT\((?P<what>DISTINCT\("user"\)|"user")\)'
    r" FROM \"(?P<measurement>\w+)\" WHERE \"run\" = '(?P<run>[\w-]+)'"
    r'( GROUP BY "(?P<label>\w+)")?'
)
_DELETE = re.compile(r'DELETE FROM "(?P<measurement>\w+)" WHERE "run" = \'(?P<run>[\w-]+)\'')


@dataclass
class Store:
    """Points by their identity: measurement, tags and time, as in InfluxDB."""

    drop: int = 0
    delay_s: float = 0.0
    points: dict[tuple[str, ...], tuple[str, float]] = field(default_factory=dict)

    def write(self, line: str) -> bool:
        match = _LINE.fullmatch(line)
        if match is None:
            return False
        if self.drop > 0:
            self.drop -= 1
            return True
        identity = (match["measurement"], match["run"], match["id"], match["time"], match["labels"])
        self.points[identity] = (match["user"], time.monotonic() + self.delay_s)
        return True

    def delete(self, query: str) -> dict[str, Any]:
        match = _DELETE.fullmatch(query)
        if match is None:
            return {"statement_id": 0, "error": f"error parsing query: {query}"}
        gone = [each for each in self.points if each[:2] == (match["measurement"], match["run"])]
        for each in gone:
            del self.points[each]
        return {"statement_id": 0}

    def count(self, query: str) -> dict[str, Any]:
        match = _QUERY.fullmatch(query)
        if match is None:
            return {"statement_id": 0, "error": f"error parsing query: {query}"}
        now = time.monotonic()
        groups: dict[str, list[str]] = {}
        for (measurement, run, _, _, labels), (user, visible) in self.points.items():
            if (measurement, run) == (match["measurement"], match["run"]) and visible <= now:
                tags = dict(tag.split("=") for tag in labels.split(",") if tag)
                groups.setdefault(tags.get(match["label"], ""), []).append(user)
        if not groups:
            return {"statement_id": 0}
        distinct = match["what"].startswith("DISTINCT")
        series = [
            {
                "name": match["measurement"],
                **({"tags": {match["label"]: bucket}} if match["label"] else {}),
                "columns": ["time", "count"],
                "values": [[0, len(set(users)) if distinct else len(users)]],
            }
            for bucket, users in groups.items()
        ]
        return {"statement_id": 0, "series": series}


def application(store: Store) -> Starlette:
    async def write(request: Request) -> Response:
        if request.query_params.get("db") != DATABASE:
            return JSONResponse({"error": "database not found"}, status_code=404)
        if request.query_params.get("precision") != "ms":
            return JSONResponse({"error": "invalid precision"}, status_code=400)
        lines = (await request.body()).decode().splitlines()
        if not lines or sum(map(store.write, lines)) < len(lines):
            return JSONResponse({"error": "unable to parse"}, status_code=400)
        return Response(status_code=204)

    async def query(request: Request) -> Response:
        if request.query_params.get("db") != DATABASE:
            return JSONResponse({"results": [{"statement_id": 0, "error": "database not found"}]})
        answer = store.delete if request.method == "POST" else store.count
        return JSONResponse({"results": [answer(request.query_params.get("q", ""))]})

    return Starlette(
        routes=[
            Route("/write", write, methods=["POST"]),
            Route("/query", query, methods=["GET", "POST"]),
        ]
    )


@contextmanager
def serving(app: Starlette, port: int = 0) -> Iterator[str]:
    """Serve an application from a thread of this process; yield its base URL."""
    listener = socket.create_server(("127.0.0.1", port))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield url
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--drop", type=int, default=0)
    parser.add_argument("--delay", type=float, default=0.0)
    options = parser.parse_args()
    store = Store(drop=options.drop, delay_s=options.delay)
    with serving(application(store), options.port) as url:
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
