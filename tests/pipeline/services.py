"""Small servers that answer as services document it, with faults that a test plants.

One store and one server for all: a service is a function that reads its requests and writes its
answers. :func:`relay` puts the same faults before a real server.
"""

from __future__ import annotations

import http.client
import json
import re
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

KEYS = {
    "INFLUX_AUTHORIZATION": "Token of-the-bucket",
    "SEGMENT_WRITE_KEY": "key-of-the-source",
    "POSTHOG_PROJECT_TOKEN": "phc_token",
    "POSTHOG_PERSONAL_KEY": "phx_key",
    "MIXPANEL_ACCOUNT": "an-account",
    "MIXPANEL_SECRET": "its-secret",
}
"""What the shipped scenarios take from the environment, besides Amplitude's."""


class Event(NamedTuple):
    """What a service keeps of an event."""

    run: str
    user: str
    labels: Mapping[str, str]
    row: Any = None
    """What it was taken from."""
    visible_s: float = 0.0
    """When it can be counted from, by the monotonic clock."""


class Call(NamedTuple):
    """A request."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    @property
    def query(self) -> dict[str, str]:
        return {
            name: values[0]
            for name, values in parse_qs(urlsplit(self.url).query, keep_blank_values=True).items()
        }

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Answer = tuple[int, Any]
"""Status, and the body: bytes, or a value that is written as JSON."""


@dataclass
class Store:
    """Events; the first are refused, lost or taken twice, as many as a test wants.

    Attributes:
        refuse: So many are refused by name.
        lose: So many of the next are acknowledged and forgotten.
        twice: So many of the next are kept twice.
        quoted: Whether counts are written as strings, by services that may.
        delay_s: How long it takes until an event can be counted.
        scrolled: Pages that were gone through.
    """

    refuse: int = 0
    lose: int = 0
    twice: int = 0
    quoted: bool = False
    delay_s: float = 0.0
    scrolled: int = 0
    events: list[Event] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def times(self) -> int | None:
        """Return how often the next event is kept; None if it is refused."""
        with self.lock:
            for name, times in (("refuse", None), ("lose", 0), ("twice", 2)):
                left = getattr(self, name)
                if left:
                    setattr(self, name, left - 1)
                    return times
        return 1

    def take(self, event: Event) -> bool:
        """Take an event; return whether it is acknowledged."""
        times = self.times()
        event = event._replace(visible_s=time.monotonic() + self.delay_s)
        with self.lock:
            self.events += [event] * (times or 0)
        return times is not None

    def replace(self, event: Event) -> None:
        """Take an event in the place of one that was taken from the same."""
        self.forget(lambda old: old.row is not None and bool(old.row == event.row))
        self.take(event)

    def of_run(self, run: str) -> list[Event]:
        """Return the events of a run."""
        with self.lock:
            return [event for event in self.events if event.run == run]

    def rows(self, run: str) -> list[Any]:
        """Return what they were taken from."""
        return [event.row for event in self.of_run(run)]

    def forget(self, gone: Callable[[Event], bool]) -> None:
        """Delete events."""
        with self.lock:
            self.events = [event for event in self.events if not gone(event)]

    def count(self, run: str, label: str | None = None) -> list[dict[str, Any]]:
        """Return label, users and events of each group of a run."""
        users: dict[str | None, Counter[str]] = defaultdict(Counter)
        now_s = time.monotonic()
        with self.lock:
            for event in self.events:
                if event.run == run and event.visible_s <= now_s:
                    users[event.labels.get(label) if label else None][event.user] += 1
        return [
            {"label": name, "uniques": len(found), "totals": found.total()}
            for name, found in users.items()
        ]


def found(pattern: str, text: str) -> dict[str, Any]:
    """Return what a request must look like holds; a request of another form is a test's failure."""
    match = re.fullmatch(pattern, text)
    assert match is not None, text
    return match.groupdict()


def clickhouse(store: Store, call: Call) -> Answer:
    """Answer as the HTTP interface of ClickHouse."""
    query = call.query["query"]
    if call.method == "POST":
        found(r"INSERT INTO events FORMAT JSONEachRow", query)
        for row in map(json.loads, call.body.splitlines()):
            labels = dict(zip(row["labels.name"], row["labels.bucket"], strict=True))
            store.take(Event(row["run"], row["user_id"], labels, row))
        return 200, b""
    if query.endswith("FORMAT JSONEachRow"):
        names = "user_id, insert_id, run, event, properties"
        run = found(rf"SELECT {names} FROM \w+ WHERE run = '(?P<run>\w+)' FORMAT \w+", query)["run"]
        told = [_only(row, names.split(", ")) for row in store.rows(run)]
        return 200, b"".join(json.dumps(row).encode() + b"\n" for row in told)
    asked = found(
        r"SELECT (labels\.bucket\[indexOf\(labels\.name, '(?P<label>\w+)'\)\] AS label, )?"
        r"uniqExact\(user_id\) AS uniques, count\(\) AS totals FROM events "
        r"WHERE run = '(?P<run>\w+)'( GROUP BY label LIMIT 1000)? FORMAT JSON",
        query,
    )
    rows: list[dict[str, Any]] = store.count(asked["run"], asked["label"])
    rows = rows or [{"uniques": 0, "totals": 0}] * (asked["label"] is None)
    if store.quoted:
        numbers = ("uniques", "totals")
        rows = [row | {name: str(row[name]) for name in numbers} for row in rows]
    return 200, {"data": rows, "rows": len(rows)}


NO_DATABASE = "nowhere"
"""What InfluxDB has not got here."""


def influxdb(store: Store, call: Call) -> Answer:
    """Answer as InfluxDB 1, and as InfluxDB 2 with the compatible query API and Flux."""
    if call.path == "/api/v2/query" or call.query.get("chunked") == "true":
        return 200, (_flux if call.method == "POST" else _chunks)(store, call)
    absent = call.query.get("db") == NO_DATABASE
    if call.method == "POST" and call.path != "/query":
        assert call.path in ("/write", "/api/v2/write")
        assert call.query["precision"] == "ms"
        if absent:
            return 404, {"error": "database not found"}
        for line in call.body.decode().splitlines():
            point = found(r'\w+,(?P<tags>[\w=,-]+) user="(?P<user>[^"]*)" (?P<time>\d+)', line)
            tags = dict(tag.split("=") for tag in point["tags"].split(","))
            store.replace(Event(tags["run"], point["user"], tags, (point["tags"], point["time"])))
        return 204, b""
    if absent:
        return 200, {"results": [{"statement_id": 0, "error": "database not found"}]}
    if call.method == "POST":
        run = found(r'DELETE FROM "\w+" WHERE "run" = \'(?P<run>[\w-]+)\'', call.query["q"])["run"]
        store.forget(lambda event: event.run == run)
        return 200, {"results": [{"statement_id": 0}]}
    asked = found(
        r'SELECT COUNT\((?P<users>DISTINCT\()?"user"\)?\) FROM "\w+" '
        r"WHERE \"run\" = '(?P<run>[\w-]+)'( GROUP BY \"(?P<label>\w+)\")?",
        call.query["q"],
    )
    series = []
    for row in store.count(asked["run"], asked["label"]):
        number = row["uniques" if asked["users"] else "totals"]
        tags = {"tags": {asked["label"]: row["label"]}} if asked["label"] else {}
        one = {"name": "probe", "columns": ["time", "count"], "values": [[0, number]]}
        series.append(one | tags)
    return 200, {"results": [{"statement_id": 0} | ({"series": series} if series else {})]}


def _chunks(store: Store, call: Call) -> bytes:
    """Answer a query for points, in answers one a line."""
    asked = r"""SELECT "user", "id", "run" FROM "\w+" WHERE "run" = '(?P<run>[\w-]+)'"""
    points = _points(store, found(asked, call.query["q"])["run"])
    results: list[dict[str, Any]] = [
        {
            "statement_id": 0,
            "series": [
                {
                    "name": "probe",
                    "columns": ["time", "user", "id", "run"],
                    "values": points[at : at + PAGE],
                }
            ],
        }
        for at in range(0, len(points), PAGE)
    ]
    lines = results or [{"statement_id": 0}]
    return b"".join(json.dumps({"results": [each]}).encode() + b"\n" for each in lines)


def _points(store: Store, run: str) -> list[list[Any]]:
    """Return time, user, id and run of the points of a run; who is there twice has another id."""
    found: list[list[Any]] = []
    for event in store.of_run(run):
        key = event.labels["id"] + "-again" * any(each[1] == event.user for each in found)
        found.append([int(event.row[1]), event.user, key, run])
    return found


def _flux(store: Store, call: Call) -> bytes:
    """Answer Flux, as CSV."""
    assert call.headers["accept"] == "application/csv"
    asked = call.json
    assert asked["type"] == "flux"
    assert asked["dialect"] == {"header": True, "annotations": []}
    run = found(
        r'from\(bucket: "b"\) \|> range\(start: 0, stop: 2100-01-01T00:00:00Z\) '
        r'\|> filter\(fn: \(r\) => r\._measurement == "\w+" and r\._field == "user" '
        r'and r\.run == "(?P<run>[\w-]+)"\) '
        r'\|> group\(\) \|> keep\(columns: \["_value", "id", "run"\]\)',
        " ".join(asked["query"].split()),
    )["run"]
    lines = [f",_result,0,{user},{key},{run}" for _, user, key, run in _points(store, run)]
    head = [",result,table,_value,id,run"] if lines else []
    return "".join(f"{line}\r\n" for line in (*head, *lines, "")).encode()


def postgrest(store: Store, call: Call) -> Answer:
    """Answer as PostgREST before the table and the function of the profile."""
    if call.path.startswith("/rpc/"):
        return 200, store.count(call.query["of_run"], call.query.get("by_name"))
    if call.method == "GET":
        rows = [_only(row, call.query["select"].split(",")) for row in store.rows(_run(call))]
        after = call.query.get("insert_id", "gt.").removeprefix("gt.")
        assert call.query["order"] == "insert_id"
        return 200, _page(rows, "insert_id", after)
    assert "resolution=ignore-duplicates" in call.headers["prefer"]
    for row in call.json:
        store.take(Event(row["run"], row["user_id"], row["labels"], row))
    return 201, b""


PAGE = 70
"""What PostgREST's db-max-rows is here."""


def _only(row: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: row[name] for name in names}


def _run(call: Call) -> str:
    return call.query["run"].removeprefix("eq.")


def _page(rows: list[dict[str, Any]], key: str, after: str) -> list[dict[str, Any]]:
    """Return the rows behind a key, as many as a page has; who is there twice has another key."""
    again: Counter[str] = Counter()
    for row in rows:
        again[row[key]] += 1
        row[key] += "-again" * (again[row[key]] - 1)
    return sorted((row for row in rows if row[key] > after), key=lambda row: str(row[key]))[:PAGE]


def segment(store: Store, call: Call) -> Answer:
    """Answer as Segment's tracking API, and as PostgREST before the warehouse."""
    if call.path == "/rpc/loadcheck_export":
        asked = call.json
        rows = [
            {"id": row["messageId"], "user_id": row["userId"], "run": asked["of_run"]}
            for row in store.rows(asked["of_run"])
        ]
        return 200, _page(rows, "id", asked["behind"])
    if call.method == "GET":
        rows = store.count(call.query["of_run"], label=_property(call.query.get("by_name")))
        return 200, rows
    for each in call.json["batch"]:
        properties = each["properties"]
        store.take(Event(properties["loadcheck_run"], each["userId"], properties, each))
    return 200, {"success": True}


def _property(label: str | None) -> str | None:
    return f"loadcheck_{label}" if label else None


def elasticsearch(store: Store, call: Call) -> Answer:
    """Answer as Elasticsearch and OpenSearch."""
    if call.path == "/loadcheck/_bulk":
        lines = [json.loads(line) for line in call.body.splitlines()]
        items = []
        for action, document in zip(lines[::2], lines[1::2], strict=True):
            row = {"_id": action["index"]["_id"], "_source": document}
            event = Event(document["run"], document["user_id"], document["labels"], row)
            status = 201 if store.take(event) else 429
            items.append({"index": {"_id": action["index"]["_id"], "status": status}})
        errors = any(item["index"]["status"] >= 400 for item in items)
        return 200, {"took": 1, "errors": errors, "items": items}
    body = call.json
    if call.path == "/_search/scroll" or "scroll" in call.query:
        return 200, _scroll(store, call)
    run, groups = body["query"]["term"]["run"], body["aggs"]["groups"]
    told: dict[str, Any] = {}
    if "cardinality" in groups:
        number = sum(row["uniques"] for row in store.count(run))
        told["groups"] = {"value": number - number // 50}  # an estimate, below the truth
    elif "aggs" in groups:
        assert groups["aggs"]["uniques"] == {"stats_bucket": {"buckets_path": "users>_count"}}
        rows = store.count(run, groups["terms"]["field"].removeprefix("labels."))
        buckets = [
            {
                "key": row["label"],
                "uniques": {"count": row["uniques"]},
                "totals": {"value": row["totals"]},
            }
            for row in rows
        ]
        told["groups"] = {"sum_other_doc_count": 0, "buckets": buckets}
    else:
        assert body["aggs"]["uniques"] == {"stats_bucket": {"buckets_path": "groups>_count"}}
        number = sum(row["uniques"] for row in store.count(run))
        told["groups"] = {"sum_other_doc_count": max(0, number - groups["terms"]["size"])}
        told["uniques"] = {"count": number}
    if "totals" in body["aggs"]:
        told["totals"] = {"value": sum(row["totals"] for row in store.count(run))}
    return 200, {"timed_out": False, "_shards": {"failed": 0}, "aggregations": told}


def _scroll(store: Store, call: Call) -> Any:
    """Answer a search that is gone through in pages, whose id is the same in all of them."""
    body = call.json
    if call.path == "/_search/scroll":
        assert body["scroll"] == "5m"
        _, run, _ = body["scroll_id"].split("/")
        store.scrolled += 1
    else:
        run, store.scrolled = body["query"]["term"]["run"], 0
        assert body["sort"] == ["_doc"]
        assert call.query["allow_partial_search_results"] == "false"
    hits = [
        {"_id": each["_id"], "_source": _only(each["_source"], ("user_id", "run"))}
        for each in store.rows(run)
    ]
    keys: Counter[str] = Counter()
    for hit in hits:  # an id is there once: who is there twice has another
        keys[hit["_id"]] += 1
        hit["_id"] += "-again" * (keys[hit["_id"]] - 1)
    begin = store.scrolled * PAGE
    told = {"timed_out": False, "_shards": {"failed": 0}, "_scroll_id": f"scroll/{run}/=="}
    return told | {"hits": {"hits": hits[begin : begin + PAGE]}}


def posthog(store: Store, call: Call) -> Answer:
    """Answer as PostHog's capture and query APIs."""
    if call.path == "/batch/":
        assert call.json["api_key"] == "phc_token"
        for each in call.json["batch"]:
            properties = each["properties"]
            store.take(Event(properties["loadcheck_run"], each["distinct_id"], properties, each))
        return 200, {"status": "Ok"}
    assert call.headers["authorization"] == "Bearer phx_key"
    query = call.json["query"]["query"]
    if query.startswith("SELECT toString"):
        asked = found(
            r"SELECT toString\(uuid\) AS id, distinct_id, properties\.loadcheck_run, event "
            r"FROM events WHERE properties\.loadcheck_run = '(?P<run>\w+)' "
            r"AND toString\(uuid\) > '(?P<after>[\w-]*)' ORDER BY id LIMIT 10000",
            query,
        )
        page = _page([dict(row) for row in store.rows(asked["run"])], "uuid", asked["after"])
        results = [
            [row["uuid"], row["distinct_id"], row["properties"]["loadcheck_run"], row["event"]]
            for row in page
        ]
        return 200, {"results": results, "hasMore": False, "is_cached": False}
    asked = found(
        r"SELECT (properties\.(?P<label>\w+) AS label, (?P<what>[\w() ]+) AS n"
        r"|count\(DISTINCT distinct_id\) AS uniques, count\(\) AS totals) FROM events"
        r" WHERE properties\.loadcheck_run = '(?P<run>\w+)'( GROUP BY label LIMIT 1000)?",
        query,
    )
    rows = store.count(asked["run"], asked["label"])
    if asked["label"] is None:
        results = [[sum(row[name] for row in rows) for name in ("uniques", "totals")]]
    else:
        name = "totals" if asked["what"] == "count()" else "uniques"
        results = [[row["label"], row[name]] for row in rows]
    return 200, {"results": results, "hasMore": False, "is_cached": False}


def mixpanel(store: Store, call: Call) -> Answer:
    """Answer as Mixpanel's ingestion and query APIs."""
    if call.path == "/import":
        failed = []
        for index, each in enumerate(call.json):
            properties = each["properties"]
            user = properties["distinct_id"]
            event = Event(properties["loadcheck_run"], user, properties, each)
            with store.lock:  # an $insert_id counts once
                known = any(event.row == other.row for other in store.events)
            if not known and not store.take(event):
                failed.append({"index": index, "$insert_id": properties["$insert_id"]})
        number = len(call.json) - len(failed)
        told = {"code": 400 if failed else 200, "num_records_imported": number}
        return told["code"], told | ({"failed_records": failed} if failed else {"status": "OK"})
    if call.path == "/api/2.0/export":
        where = found(r'properties\["loadcheck_run"\]=="(?P<run>\w+)"', call.query["where"])
        assert json.loads(call.query["event"])
        assert call.query["from_date"] < call.query["to_date"]
        lines, keys = b"", Counter[str]()
        for row in store.rows(where["run"]):
            properties = row["properties"] | {"time": row["properties"]["time"] // 1000}
            key = properties["$insert_id"]  # an event that counts twice has another
            properties["$insert_id"] += "-again" * keys[key]
            keys[key] += 1
            line = json.dumps(row | {"properties": properties}).encode() + b"\n"
            lines += line * 2  # not deduplicated
        return 200, lines
    asked = found(
        r'function main\(\) \{ (var by = "properties\.(?P<label>\w+)"; )?return Events\(\{'
        r'from_date: "[\d-]{10}", to_date: "[\d-]{10}", '
        r'event_selectors: \[\{event: "[\w ]+"\}\]\}\)'
        r' ?\.filter\(function\(e\) \{ return e\.properties\.loadcheck_run == "(?P<run>\w+)"; \}\)'
        r" ?(?P<users>\.groupByUser\((\[by\], )?mixpanel\.reducer\.count\(\)\))?"
        r"\.(reduce\(|groupBy\(\[(by|\"key\.1\")\], )mixpanel\.reducer\.count\(\)\); \}",
        parse_qs(call.body.decode())["script"][0],
    )
    name = "uniques" if asked["users"] else "totals"
    rows = store.count(asked["run"], asked["label"])
    if asked["label"] is None:
        return 200, [row[name] for row in rows]
    return 200, [{"key": [row["label"]], "value": row[name]} for row in rows]


def own(store: Store, call: Call) -> Answer:
    """Answer as the service of the samples in loadcheck/scenario/schema.py."""
    if call.path == "/v1/export":
        rows = _page([dict(row) for row in store.rows(call.json["run"])], "id", call.json["cursor"])
        following = rows[-1]["id"] if len(rows) == PAGE else None
        kept = [_only(row, ("user", "id", "run")) for row in rows]
        return 200, {"events": kept, "next": following}
    if call.path == "/v1/events":
        told: list[int] = []
        sent = [
            Event(event["run"], event["user"], event["labels"], event)
            for event in call.json["events"]
        ]
        told = [index for index, event in enumerate(sent) if not store.take(event)]
        return 200, {"accepted": len(sent) - len(told), "rejected": told}
    rows = store.count(call.query["run"], call.query.get("by"))
    rows = [
        {"label": row["label"], "users": row["uniques"], "events": row["totals"]} for row in rows
    ]
    if "by" in call.query:
        return 200, {"rows": rows, "truncated": False}
    sums = {name: sum(row[name] for row in rows) for name in ("users", "events")}
    return 200, sums | {"truncated": False}


Service = Callable[[Store, Call], Answer]


def relay(url: str, taken: Answer, again: Callable[[bytes], bytes] = bytes) -> Service:
    """Return a service that stands before a real one, and loses or repeats what is sent to it.

    Args:
        url: The real one's.
        taken: What it answers to what it takes.
        again: Makes of a request's body that of its repetition.
    """

    def answer(store: Store, call: Call) -> Answer:
        times = store.times() if call.method == "POST" else 1
        told = taken
        for body in (call.body, again(call.body))[: times or 0]:
            connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
            try:
                kept = {name: text for name, text in call.headers.items() if name in _RELAYED}
                connection.request(call.method, call.url, body or None, kept)
                response = connection.getresponse()
                told = (response.status, response.read())
            finally:
                connection.close()
        return told

    return answer


_RELAYED = ("content-type", "authorization", "prefer")


@contextmanager
def serving(service: Service, store: Store) -> Iterator[str]:
    """Serve from threads of this process; yield the base URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): text for name, text in self.headers.items()}
            status, told = service(store, Call(self.command, self.path, headers, body))
            content = told if isinstance(told, bytes) else json.dumps(told).encode()
            self.send_response(status)
            if status != http.client.NO_CONTENT:
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
