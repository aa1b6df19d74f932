"""``[verify]``, ``[[overlay]]``, ``[delete]``, ``[service]`` and ``[guard]``.

How the service is queried, additions to requests, how users are deleted, known facts about the
service, and what a run may not do.
"""

from __future__ import annotations

import re
from typing import Any

from loadcheck.documents.document import Node
from loadcheck.scenario import grammar
from loadcheck.scenario.data import check_drawn
from loadcheck.scenario.model import (
    BatchSpec,
    Budget,
    CountExpression,
    Deletion,
    Edit,
    Evidence,
    Export,
    Following,
    GroupBy,
    Guard,
    Jobs,
    Repeat,
    Service,
    ServiceLimits,
    Verify,
)
from loadcheck.scenario.reader import (
    ProblemReport,
    TableReader,
    describe,
    drop_none,
    json,
    share_of,
    text,
)

_AT = re.compile(grammar.AT)
_EVENTS = re.compile(grammar.EVENTS)
_TAG = re.compile(grammar.TAG)
_USER = re.compile(grammar.USER)
_WINDOW = re.compile(grammar.WINDOW)
_PATH = re.compile("/.*", re.DOTALL)
_BENEATH = re.compile(grammar.BENEATH)
_PLACEHOLDER = re.compile(r"\{\$([^{}]*)\}")
_SERVER = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+")
_PARTITION = "{$partition}"
_EXPECTED_AT = (
    'expected "body#/json/pointer", "query.NAME", "query.NAME#/json/pointer", "header.NAME", '
    '"path.NAME" or "cookie.NAME"'
)


_EXPECTED = {
    _AT: _EXPECTED_AT,
    _TAG: f'{_EXPECTED_AT}, or "$inputs.name"',
    _BENEATH: 'expected "/json/pointer"',
}


def read_overlay(top: TableReader) -> tuple[Edit, ...]:
    """Read ``[[overlay]]``."""
    entries = top.tables("overlay", grammar.EDIT) or []
    for entry in entries:
        entry.require("step", "expected the stepId of the request it changes")
    return tuple(_edit(entry, entry.text("step") or "") for entry in entries)


def read_delete(top: TableReader) -> Deletion | None:
    """Read ``[delete]``; None where there is none."""
    table = top.table("delete", grammar.DELETE)
    if table is None:
        return None
    deletion = Deletion(
        **drop_none(endpoint=_path(table, "endpoint"), body=_body(table), jobs=_jobs(table)),
        **table.fields("method", "batch", "every", "quote", "impossible"),
    )
    if not deletion.impossible:
        table.require("endpoint", "expected the path of the request")
        _check_placeholders(table, ("endpoint", "body"), ("users", "run.id"))
        if not (deletion.by_user or deletion.by_run) and "endpoint" in table:
            remedy = "put {$users} or {$run.id} into endpoint or body"
            message = "names neither users nor the run: it would delete everybody"
            table.report.add(table["endpoint"], message, remedy)
    return deletion


def _path(table: TableReader, name: str) -> str | None:
    return table.text(name, _PATH, 'expected "/path"')


def _body(table: TableReader) -> Any:
    body = table.get("body")
    return None if body is None else json(body, table.report)


def _check_placeholders(table: TableReader, names: tuple[str, ...], known: tuple[str, ...]) -> None:
    """Report unknown placeholders: they would be sent literally."""
    for name in names:
        node = table.get(name)
        for _, part in () if node is None else node.walk():
            for word in _PLACEHOLDER.findall(part.value if isinstance(part.value, str) else ""):
                if word not in known and not word.startswith("inputs."):
                    expected = ", ".join(f"{{${each}}}" for each in known)
                    remedy = f"expected {expected} or {{$inputs.NAME}}"
                    table.report.add(part, f"unknown placeholder {{${word}}}", remedy)


def _jobs(delete: TableReader) -> Jobs | None:
    table = delete.table("jobs", grammar.JOBS)
    if table is None:
        return None
    for name in grammar.JOBS:
        table.require(name, "expected a string")
    names = ("job", "path", "days", "states", "done")
    read = {name: (_path if name == "path" else TableReader.text)(table, name) for name in names}
    return Jobs(**{name: text or "" for name, text in read.items()})


def read_verify(top: TableReader) -> Verify:
    """Read ``[verify]``."""
    table = top.section("verify", grammar.VERIFY)
    step = table.text("step")
    remedy = "the count must be able to settle before the deadline"
    defaults = Verify().quiet_s, Verify().deadline_s
    return Verify(
        **drop_none(
            step=step,
            user=_user(table),
            uniques=_count(table, "uniques", step or ""),
            totals=_count(table, "totals", step or ""),
            evidence=_evidence(table),
            localize=_localize(table),
            approximate=_approximate(table),
            absent=table.value("absent", _absent, _ABSENT),
            split=_split(table, step or ""),
            budget=_budget(table),
            export=_export(table),
            repeat=_repeat(table),
            batch=_batch(table),
            bypass=_observer_edits(table, "bypass", step or ""),
        ),
        **table.ascending(("quiet", "deadline"), defaults, remedy),
        **table.fields(
            *("enabled", "query", "ingest", "acknowledged", "partitions", "cache", "every"),
            "timeout",
        ),
    )


def _user(verify: TableReader) -> str | None:
    expected = 'expected "body#/json/pointer" in the ingest step\'s request, or "$inputs.name"'
    return verify.text("user", _USER, expected)


def _count(verify: TableReader, name: str, step: str) -> CountExpression | None:
    """Read a count: an expression, or a table with an expression and the edits that it needs."""
    node = verify.get(name)
    if node is None:
        return None
    if isinstance(node.value, str):
        value = text(node, verify.report)
        return None if value is None else CountExpression(value=value)
    if not isinstance(node.value, dict):
        expected = "expected a runtime expression, or a table of value and overlay"
        verify.report.found(node, expected)
        return None
    table = TableReader(node, verify.report, known=grammar.COUNT)
    table.require("value", "expected a runtime expression")
    return CountExpression(
        value=table.text("value") or "",
        overlay=_observer_edits(table, "overlay", step) or (),
        select=table.text("select"),
    )


def _evidence(verify: TableReader) -> Evidence | None:
    table = verify.table("evidence", grammar.EVIDENCE)
    if table is None:
        return None
    return Evidence(**table.fields(*grammar.EVIDENCE))


def _localize(verify: TableReader) -> bool | None:
    wanted = verify.flag("localize")
    if wanted and "split" not in verify:
        remedy = "say in [verify.split] how events are marked with buckets and counted by them"
        verify.report.add(verify["localize"], "the workflow's profile has no buckets", remedy)
    if wanted and "approximate" in verify:
        remedy = "leave one out: counts with an error cannot be compared bucket by bucket"
        verify.report.contradiction(verify["localize"], verify["approximate"], remedy)
    return wanted


def _approximate(verify: TableReader) -> float | None:
    def convert(value: Any) -> float | None:
        share = share_of(value)
        return share if share is not None and 0 < share <= grammar.MAX_ERROR else None

    expected = f'expected a percentage above 0 and up to {100 * grammar.MAX_ERROR:g}, e.g. "1%"'
    return verify.value("approximate", convert, expected)


_ABSENT = "expected the count to assume if an answer has none: a whole number, e.g. 0"


def _absent(value: Any) -> int | None:
    count = isinstance(value, int) and not isinstance(value, bool)
    return value if count and 0 <= value <= grammar.MAX_COUNT else None


def _split(verify: TableReader, step: str) -> GroupBy | None:
    table = verify.table("split", grammar.SPLIT)
    if table is None:
        return None
    table.require("labels", "expected a runtime expression for the labels of the rows")
    table.require("values", "expected a runtime expression or JSONPath for their counts")
    table.require("limit", "expected the most rows that the service returns")
    edits = {
        "tag": _tags(table, verify.text("ingest") or ""),
        "overlay": _observer_edits(table, "overlay", step) or (),
    }
    for name, does in (
        ("tag", "puts the buckets on events"),
        ("overlay", "groups the query by them"),
    ):
        table.require(name, f"expected the edits, one at least, of which one {does}")
        if name in table and not any(_names_partition(edit) for edit in edits[name]):
            remedy = f"write {{$partition}} where it {does}: every partition has a name of its own"
            table.report.add(table[name], "is the same for every partition", remedy)
    return GroupBy(
        labels=table.text("labels") or "",
        values=table.text("values") or "",
        limit=table.whole("limit") or 2,
        tag=edits["tag"],
        overlay=edits["overlay"],
    )


def _tags(table: TableReader, step: str) -> tuple[Edit, ...]:
    entries = table.tables("tag", grammar.TAG_EDIT) or []
    return tuple(_edit(entry, step, place=_TAG) for entry in entries)


def _names_partition(edit: Edit) -> bool:
    return _PARTITION in edit.at or _PARTITION in str(edit.value)


def _budget(verify: TableReader) -> Budget | None:
    table = verify.table("budget", grammar.BUDGET)
    if table is None:
        return None
    table.require("cost", "expected what all queries of a window may cost together")
    table.require("window", 'expected the length of the window, e.g. "5m"')
    return Budget(
        cost=table.whole("cost") or 1,
        window_s=table.duration("window") or 1.0,
        **table.fields("plain", "split", "per_day"),
    )


_PLACES = ("path", "body", "headers")
_WINDOW_WORDS = ("start", "end", "startTime", "endTime", "startMs", "endMs")


def _export(verify: TableReader) -> Export | None:
    table = verify.table("export", grammar.EXPORT)
    if table is None:
        return None
    for name in ("path", "run"):
        table.require(name, "expected a string")
    export = Export(
        path=_path(table, "path") or "",
        run=table.text("run") or "",
        fields=_texts(table, "fields"),
        headers=_texts(table, "headers"),
        errors=table.texts("errors", "JSONPaths"),
        next=_following(table),
        servers=_servers(table),
        **drop_none(body=_body(table)),
        **table.fields(
            *("event", "method", "format", "rows", "empty", "after", "pages", "deduplicated")
        ),
    )
    _check_export(table, export)
    return export


def _following(export: TableReader) -> Following | None:
    table = export.table("next", grammar.FOLLOWING)
    if table is None:
        return None
    table.require("token", "expected a JSON Pointer into the answer")
    return Following(
        token=table.text("token") or "",
        **drop_none(path=_path(table, "path"), body=_body(table)),
        **table.fields("ends"),
    )


def _check_export(table: TableReader, export: Export) -> None:
    """Report exports that could not be requested or read."""
    _check_pages(table, export)
    of_answers = ("empty", "errors", "next")
    for name in ("rows", *of_answers):
        if name in table and export.format == "csv":
            remedy = "leave it out: the columns of CSV are its header's"
            table.report.contradiction(table["format"], table[name], remedy)
        elif name in table and "rows" not in table:
            remedy = "say in rows where in an answer the events are"
            table.report.add(table[name], "is about answers that have rows", remedy)
    if "body" in table and export.method == "GET":
        table.report.add(table["body"], "a GET has no body", 'add method = "POST"')
    if not export.fields:
        remedy = "name the user and the deduplication key at least"
        table.report.add(table.node, '"fields" is missing', remedy)
    places = _inner(table, "fields")
    for name, node in () if places is None else places.entries.items():
        if "event" not in table and not export.fields[name].startswith("$inputs."):
            remedy = "say in event where in a request it is, or write $inputs.NAME"
            table.report.add(node, "points into an event", remedy)


def _check_pages(table: TableReader, export: Export) -> None:
    """Report unknown placeholders, and paging that would never get past the first page."""
    words = ("run.id", *_WINDOW_WORDS, "last", "offset", "token")
    following = _inner(table, "next")
    inner = ("path", "body") if following is not None else ()
    _check_placeholders(table, _PLACES, words)
    _check_placeholders(following or table, inner, words)
    nodes = [table.get(name) for name in _PLACES]
    nodes += [(following or table).get(name) for name in inner]
    parts = [part.value for node in nodes if node is not None for _, part in node.walk()]
    used = set(_PLACEHOLDER.findall(" ".join(part for part in parts if isinstance(part, str))))
    for word, key, says in (
        ("last", "after", 'say in after which member it is: after = "/id"'),
        ("token", "next", 'say in which member it is: next.token = "/cursor"'),
    ):
        if word in used and key not in table:
            table.report.add(table.get("path") or table.node, f"{{${word}}} of what?", says)
        if key in table and word not in used and (key != "next" or following is not None):
            remedy = f"put {{${word}}} into path or body, or leave {key} out"
            table.report.add(table[key], "every page would be the first", remedy)
    if "after" in table and "next" in table:
        remedy = "leave one out: each says by itself where the next page begins"
        table.report.contradiction(table["after"], table["next"], remedy)
    if "pages" in table and not export.paged:
        remedy = "leave it out, or say how pages follow each other: after, next or {$offset}"
        table.report.add(table["pages"], "there is only one page", remedy)


def _inner(table: TableReader, name: str) -> TableReader | None:
    """Return a table that was already read, its keys unchecked; None if it is not a table."""
    node = table.get(name)
    return table.table(name, None) if node and isinstance(node.value, dict) else None


def _texts(table: TableReader, name: str) -> dict[str, str]:
    inner = table.table(name, None)
    entries = {} if inner is None else inner.entries
    return {key: text(node, table.report) or "" for key, node in entries.items()}


def _servers(export: TableReader) -> dict[str, str]:
    table = export.table("servers", None)
    servers: dict[str, str] = {}
    for name, node in () if table is None else table.entries.items():
        servers[name] = text(node, export.report) or ""
        if not all(_SERVER.fullmatch(each) for each in (name, servers[name])):
            remedy = 'expected "https://HOST" = "https://HOST", without a path'
            export.report.add(node, f"found {describe(node)} for {name}", remedy)
    return servers


def _repeat(verify: TableReader) -> Repeat | None:
    table = verify.table("repeat", grammar.REPEAT)
    if table is None:
        return None
    for name in ("event", "at", "value"):
        table.require(name, "expected the place of events in the ingest step's request")
    entries = table.tables("overlay", grammar.FURTHER_EDIT) or []
    return Repeat(
        event=table.text("event") or "",
        at=table.text("at") or "",
        value=_value(table.get("value"), table.report),
        overlay=tuple(_edit(entry, "", place=_BENEATH) for entry in entries),
    )


def _batch(verify: TableReader) -> BatchSpec | None:
    table = verify.table("batch", grammar.BATCH)
    if table is None:
        return None
    expected = (
        'expected the array of events in the ingest step\'s request: "body#/json/pointer", or '
        '"body" for lines'
    )
    table.require("events", expected)
    events = table.text("events", _EVENTS, expected)
    return BatchSpec(
        events=events or "",
        refused=table.texts("refused", "runtime expressions"),
        **table.fields("statuses"),
    )


def _observer_edits(table: TableReader, name: str, step: str) -> tuple[Edit, ...] | None:
    entries = table.tables(name, grammar.OBSERVER_EDIT)
    return None if entries is None else tuple(_edit(entry, step) for entry in entries)


def _edit(table: TableReader, step: str, place: re.Pattern[str] = _AT) -> Edit:
    expected = _EXPECTED[place]
    table.require("at", expected)
    table.require("value", "expected what to put there")
    at = table.text("at", place, expected)
    value = table.get("value")
    return Edit(step=step, at=at or "", value=_value(value, table.report))


def _value(node: Node | None, report: ProblemReport) -> object:
    if node is None:
        return None
    check_drawn(node, report)
    return json(node, report)


def read_service(top: TableReader) -> Service:
    """Read ``[service]``."""
    table = top.section("service", grammar.SERVICE)
    places = table.section("regions", None).entries

    def most(name: str) -> ServiceLimits:
        limits = table.section(name, grammar.SERVICE_LIMITS)
        return ServiceLimits(**limits.fields(*grammar.SERVICE_LIMITS))

    return Service(
        **table.fields("name", "billed", "stays"),
        regions={host.lower(): text(node, table.report) or "" for host, node in places.items()},
        limits=most("limits"),
        advice=most("advice"),
    )


_SHARES = ("max_error_rate", "max_throttled")
_ALLOWED = 'expected a percentage below 100, e.g. "20%"'
_WINDOW_EXPECTED = 'expected two different times of the day, e.g. "22:00-06:00"'


def read_guard(top: TableReader) -> Guard:
    """Read ``[guard]``."""
    table = top.section("guard", grammar.GUARD)
    rates = {name: table.value(name, _allowed, _ALLOWED) for name in _SHARES}
    if "over" in table and not any(name in table for name in _SHARES):
        remedy = "give max_error_rate or max_throttled as well"
        table.report.add(table["over"], "has no effect without a share", remedy)
    hosts = table.texts("hosts", "hosts")
    if "hosts" in table and not hosts:
        table.report.add(table["hosts"], "allows no host at all", "name hosts, or leave it out")
    return Guard(
        **drop_none(window=table.value("window", _window, _WINDOW_EXPECTED), **rates),
        **table.fields(
            *("max_users", "max_events", "max_rate", "stop_file", "over", "stop_on_throttled")
        ),
        hosts=tuple(host.lower() for host in hosts),
    )


def _allowed(value: Any) -> float | None:
    share = share_of(value)
    return share if share is not None and share < 1 else None


def _window(value: Any) -> tuple[int, int] | None:
    """Return the two times of day of a window, in minutes; None if it is not a window."""
    match = _WINDOW.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    begin, end = (60 * int(match[at]) + int(match[at + 1]) for at in (1, 3))
    return None if begin == end else (begin, end)
