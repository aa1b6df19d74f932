"""The ClickHouse profile, against a small server that answers as its documentation says."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.cli.conftest import Loadcheck

SCENARIO = """
workflow = "clickhouse"
[target]
kind = "live"
servers = {{ clickhouse = "{url}" }}
[load]
model = "closed"
concurrency = 4
copies = 300
[verify]
every = "200ms"
quiet = "500ms"
deadline = "3s"
"""
_SELECT = re.compile(
    r"SELECT (?:labels\['(?P<label>\w+)'\] AS label, )?"
    r"if\(\{totals:UInt8\}, count\(\), uniqExact\(user_id\)\) AS n"
    r" FROM events WHERE run = '(?P<run>[\w-]+)'(?: GROUP BY label LIMIT 1000)? FORMAT JSON"
)
_DELETE = re.compile(r"ALTER TABLE events DELETE WHERE run = '(?P<run>[\w-]+)'")


class Table:
    """One table; the first rows are lost, or inserted twice."""

    def __init__(self, *, lose: int = 0, twice: int = 0) -> None:
        self.rows: list[dict[str, Any]] = []
        self._left = Counter(lose=lose, twice=twice)
        self._lock = threading.Lock()

    def insert(self, row: dict[str, Any]) -> None:
        with self._lock:
            kind = next((name for name, count in self._left.items() if count), "")
            self._left[kind] -= bool(kind)
            self.rows.extend([row] * {"lose": 0, "twice": 2}.get(kind, 1))

    def delete(self, run: str) -> None:
        with self._lock:
            self.rows = [row for row in self.rows if row["run"] != run]

    def select(self, run: str, label: str | None, *, totals: bool) -> list[dict[str, Any]]:
        groups: dict[str, list[str]] = defaultdict(list) if label else {"": []}
        with self._lock:
            for row in self.rows:
                if row["run"] == run:
                    groups[row["labels"][label] if label else ""].append(row["user_id"])
        return [
            {"label": name, "n": len(users) if totals else len(set(users))}
            for name, users in groups.items()
        ]


class Handler(BaseHTTPRequestHandler):
    """The two requests of the profile."""

    protocol_version = "HTTP/1.1"
    table: Table

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        match = _DELETE.fullmatch(body.decode())
        if match is not None and parse_qs(urlsplit(self.path).query)["mutations_sync"] == ["1"]:
            self.table.delete(match["run"])
            self.answer(200, b"")
            return
        row = json.loads(body)
        query = parse_qs(urlsplit(self.path).query)["query"][0]
        if query != "INSERT INTO events FORMAT JSONEachRow":
            self.answer(404, b"Code: 60. DB::Exception: Table does not exist.")
            return
        self.table.insert(row)
        self.answer(200, b"")

    def do_GET(self) -> None:
        given = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        match = _SELECT.fullmatch(given["query"])
        if match is None:
            self.answer(400, b"Code: 62. DB::Exception: Syntax error.")
            return
        totals = given["param_totals"] == "1"
        data = self.table.select(match["run"], match["label"], totals=totals)
        self.answer(200, json.dumps({"data": data, "rows": len(data)}).encode())

    def log_message(self, *_: object) -> None:
        return


@contextmanager
def clickhouse(table: Table) -> Iterator[str]:
    """Serve a table; yield its base URL."""
    handler = type("Serving", (Handler,), {"table": table})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("planted", "code", "found"),
    [
        ({"lose": 19}, 1, {"lost": 19, "duplicated": 0}),
        pytest.param({"twice": 15}, 1, {"lost": 0, "duplicated": 15}, marks=pytest.mark.long),
        pytest.param({}, 0, {"lost": 0, "duplicated": 0}, marks=pytest.mark.long),
    ],
)
def test_what_is_planted_is_named(
    tmp_path: Path, planted: dict[str, int], code: int, found: dict[str, int]
) -> None:
    with clickhouse(Table(**planted)) as url:
        (tmp_path / "s.toml").write_text(SCENARIO.format(url=url))
        ended = Loadcheck(tmp_path)("run", "s.toml")
    assert ended.code == code, ended.stderr + ended.stdout
    told = ended.result["consistency"]
    assert {name: told[name] or 0 for name in found} == found
    localized = told["localized"] or {"lost": [], "duplicated": []}
    assert {name: len(localized[name]) for name in found} == found


@pytest.mark.long
def test_the_rows_of_the_run_are_deleted_and_no_others(tmp_path: Path) -> None:
    """Users went missing, so rows of control users are there, too; they go with the others."""
    table = Table(lose=19)
    other = {"run": "another", "user_id": "somebody", "labels": {}}
    with clickhouse(table) as url:
        (tmp_path / "s.toml").write_text(SCENARIO.format(url=url))
        loadcheck = Loadcheck(tmp_path)
        ended = loadcheck("run", "s.toml")
        table.rows.append(other)
        assert len({row["run"] for row in table.rows}) == 5  # the run, three sorts of controls
        deleted = loadcheck("delete", ended.results[0], "--yes")
        assert (deleted.code, table.rows) == (0, [other]), deleted.stderr
        assert deleted.stdout.startswith("300 users are deleted")
