"""The emulator's own pages.

``/`` shows what has arrived, and which limits and faults are on; ``/openapi.json`` describes the
endpoints.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import ipaddress
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import urlsplit

import orjson

from loadcheck.emulator.check import TYPES
from loadcheck.emulator.config import EmulatorConfig, Fault
from loadcheck.emulator.config.faults import KINDS
from loadcheck.emulator.config.model import duration
from loadcheck.emulator.faults import ActiveFault
from loadcheck.emulator.message import Answer, Request, json_answer

_JSON_NAMES = {str: "string", int: "integer", float: "number", bool: "boolean", dict: "object"}
_DAY = {"type": "string", "pattern": "^[0-9]{8}$", "description": "YYYYMMDD"}
_HOUR = {"type": "string", "pattern": "^[0-9]{8}T[0-9]{2}$", "description": "YYYYMMDDTHH, UTC"}


def description(config: EmulatorConfig) -> bytes:
    """Return the OpenAPI 3.1.0 description of the endpoints, as JSON."""
    return orjson.dumps(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "Amplitude emulator",
                "version": "1",
                "description": "Ingestion and Dashboard REST API as documented by Amplitude.",
            },
            "paths": {
                "/2/httpapi": {"post": _upload("uploadEvents", config.httpapi.max_events)},
                "/batch": {"post": _upload("uploadBatch", config.batch.max_events)},
                "/identify": {"post": _identify()},
                "/api/2/events/segmentation": {"get": _segmentation()},
                "/api/2/events/list": {"get": _query("listEvents", [])},
                "/api/2/usersearch": {"get": _query("searchUsers", [_parameter("user", _TEXT)])},
                "/api/2/useractivity": {"get": _activity()},
                "/api/2/export": {"get": _export()},
                "/api/2/deletions/users": {"get": _jobs(), "post": _delete_users()},
                "/api/2/deletions/users/{amplitude_id}/{day}": {"delete": _revoke()},
            },
            "components": {
                "securitySchemes": {"project": {"type": "http", "scheme": "basic"}},
                "schemas": {"Event": _event(), "Error": _ERROR, "QueryError": _QUERY_ERROR},
            },
        }
    )


_TEXT = {"type": "string", "minLength": 1}
_ERROR = {
    "type": "object",
    "required": ["code", "error"],
    "properties": {"code": {"type": "integer"}, "error": {"type": "string"}},
}
_QUERY_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["http_code", "type", "message", "metadata"],
            "properties": {
                "http_code": {"type": "integer"},
                "type": {"type": "string"},
                "message": {"type": "string"},
                "metadata": {"type": "object"},
            },
        }
    },
}


def _event() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["event_type"],
        "anyOf": [{"required": ["user_id"]}, {"required": ["device_id"]}],
        "properties": {name: {"type": _JSON_NAMES[kind]} for name, kind in TYPES.items()},
    }


def _content(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _answers(schema: dict[str, Any], error: str, statuses: list[int]) -> dict[str, Any]:
    refused = _content({"$ref": f"#/components/schemas/{error}"})
    return {
        "200": {"description": "OK", "content": _content(schema)},
        **{str(status): {"description": "Refused", "content": refused} for status in statuses},
    }


def _parameter(
    name: str, schema: dict[str, Any], *, required: bool = True, where: str = "query"
) -> dict[str, Any]:
    return {"name": name, "in": where, "required": required, "schema": schema}


def _upload(operation: str, most: int | None) -> dict[str, Any]:
    events: dict[str, Any] = {
        "type": "array",
        "minItems": 1,
        "items": {"$ref": "#/components/schemas/Event"},
    }
    if most is not None:
        events["maxItems"] = most
    body = {
        "type": "object",
        "required": ["api_key", "events"],
        "properties": {
            "api_key": {"type": "string"},
            "events": events,
            "options": {
                "type": "object",
                "properties": {"min_id_length": {"type": "integer", "minimum": 1}},
            },
            "client_upload_time": {"type": "string"},
        },
    }
    counts = ("code", "events_ingested", "payload_size_bytes", "server_upload_time")
    success = {
        "type": "object",
        "required": list(counts),
        "properties": {name: {"type": "integer"} for name in counts},
    }
    return {
        "operationId": operation,
        "requestBody": {"required": True, "content": _content(body)},
        "responses": _answers(success, "Error", [400, 413, 429]),
    }


def _identify() -> dict[str, Any]:
    fields = {
        "api_key": _TEXT,
        "identification": {"type": "string", "description": "One JSON object, or an array."},
    }
    form = {"type": "object", "required": list(fields), "properties": fields}
    body = {"application/x-www-form-urlencoded": {"schema": form}}
    answers = _answers({}, "Error", [400, 413, 429])
    answers["200"] = {"description": "OK", "content": {"text/html": {"schema": _TEXT}}}
    return {
        "operationId": "identifyUsers",
        "requestBody": {"required": True, "content": body},
        "responses": answers,
    }


def _query(
    operation: str,
    parameters: list[dict[str, Any]],
    schema: dict[str, Any] | None = None,
    statuses: tuple[int, ...] = (400, 401, 429),
) -> dict[str, Any]:
    return {
        "operationId": operation,
        "security": [{"project": []}],
        "parameters": parameters,
        "responses": _answers(schema or {"type": "object"}, "QueryError", list(statuses)),
    }


def _segmentation() -> dict[str, Any]:
    def choice(*values: Any) -> dict[str, Any]:
        return {"enum": list(values)}

    metrics = ("uniques", "totals", "average", "pct_dau", "sums", "value_avg", "histogram")
    optional = {
        "e2": _TEXT,
        "m": choice(*metrics),
        "n": choice("any", "active"),
        "i": choice(-300000, -3600000, 1, 7, 30),
        "s": _TEXT,
        "g": _TEXT,
        "g2": _TEXT,
        "limit": {"type": "integer", "minimum": 1, "maximum": 1000},
    }
    data = ("series", "seriesLabels", "seriesCollapsed", "xValues")
    schema = {
        "type": "object",
        "required": ["data"],
        "properties": {
            "data": {
                "type": "object",
                "required": list(data),
                "properties": {name: {"type": "array"} for name in data},
            }
        },
    }
    return _query(
        "getEventSegmentation",
        [
            _parameter("e", _TEXT),
            _parameter("start", _DAY),
            _parameter("end", _DAY),
            *(_parameter(name, kind, required=False) for name, kind in optional.items()),
        ],
        schema,
    )


def _activity() -> dict[str, Any]:
    count = {"type": "integer", "minimum": 0}
    return _query(
        "getUserActivity",
        [
            _parameter("user", {"type": "integer"}),
            _parameter("offset", count, required=False),
            _parameter("limit", count | {"maximum": 1000}, required=False),
            _parameter("direction", {"enum": ["latest", "earliest"]}, required=False),
        ],
    )


def _export() -> dict[str, Any]:
    operation = _query(
        "exportEvents",
        [_parameter("start", _HOUR), _parameter("end", _HOUR)],
        statuses=(400, 401, 404, 429),
    )
    archive = {"application/zip": {"schema": {"type": "string", "format": "binary"}}}
    operation["responses"]["200"]["content"] = archive
    return operation


def _jobs() -> dict[str, Any]:
    days = [_parameter("start_day", _DAY), _parameter("end_day", _DAY)]
    return _query("listDeletions", days, {"type": "array"})


def _delete_users() -> dict[str, Any]:
    body = {
        "type": "object",
        "properties": {
            "user_ids": {"type": "array", "items": {"type": "string"}},
            "amplitude_ids": {"type": "array", "items": {"type": "integer"}},
            "requester": {"type": "string"},
            "ignore_invalid_id": {"type": "boolean"},
            "delete_from_org": {"type": "boolean"},
        },
    }
    return _query("deleteUsers", []) | {
        "requestBody": {"required": True, "content": _content(body)}
    }


def _revoke() -> dict[str, Any]:
    return _query(
        "revokeDeletion",
        [
            _parameter("amplitude_id", {"type": "integer"}, where="path"),
            _parameter("day", _DAY, where="path"),
        ],
        statuses=(400, 401, 404, 429),
    )


_MOST_TYPES = 20
_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --dim: #777; --alarm: #c4320a; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 66rem; padding: 0 1rem }
h1 { font-size: 1.4rem; margin: 0 } h2 { font-size: 1rem; margin: 2rem 0 .5rem }
p { color: var(--dim); margin: .2rem 0 1rem }
table { border-collapse: collapse; width: 100% } td, th { padding: .3rem .8rem .3rem 0;
border-bottom: 1px solid var(--line); text-align: left; vertical-align: top }
th { font-weight: 500; color: var(--dim) } .n { text-align: right;
font-variant-numeric: tabular-nums } th.n, td.n { padding-right: 0; padding-left: .8rem }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .8rem }
.card { background: var(--soft); border-radius: .5rem; padding: .7rem 1rem }
.card b { display: block; font-size: 1.5rem; font-weight: 600;
font-variant-numeric: tabular-nums } .card span { color: var(--dim) }
code { font: 13px ui-monospace, monospace } .on { color: var(--alarm); font-weight: 600 }
"""


_LOCAL_NAMES = ("localhost", "localhost.localdomain")


def local_only(page: Callable[[Request], Answer]) -> Callable[[Request], Answer]:
    """Wrap a page so that it answers only requests to localhost, this host or an IP address.

    Foreign names for this machine (DNS rebinding) and scripts of another origin are refused: the
    pages show what was received.
    """

    def answer(request: Request) -> Answer:
        host = request.header(b"host").decode("latin-1").lower()
        origin = request.header(b"origin").decode("latin-1").lower()
        if not _is_own(host):
            error = f"this page is not for the host {host[:100]}: ask for localhost or an address"
            return json_answer(403, {"code": 403, "error": error})
        if origin and origin.partition("://")[2] != host:
            error = f"this page is not for scripts of {origin[:100]}"
            return json_answer(403, {"code": 403, "error": error})
        return page(request)

    return answer


def _is_own(host: str) -> bool:
    """Return whether a Host field is localhost, this host's name or an address: none rebinds."""
    if not host:
        return True  # HTTP/1.0 has none; browsers always send one
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name in _LOCAL_NAMES or name == socket.gethostname().lower():
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def status_page(
    config: EmulatorConfig,
    state: Mapping[str, Any],
    types: Sequence[tuple[str, int]],
    faults: Sequence[ActiveFault],
) -> str:
    """Return the status page as HTML, which reloads itself."""
    now = dt.datetime.fromtimestamp(state["now_ms"] / 1000, dt.UTC)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Amplitude emulator</title>
<meta name="viewport" content="width=device-width"><meta http-equiv="refresh" content="2">
<style>{_STYLE}</style></head><body>
<h1>Amplitude emulator</h1>
<p>{now:%Y-%m-%d %H:%M:%S} UTC by its clock · project time zone {escape(config.time_zone)} ·
<a href="/openapi.json">OpenAPI</a></p>
{_cards(state)}
<h2>Requests</h2>
{_requests(state)}
<h2>Event types</h2>
{_types(types)}
<h2>Limits</h2>
{_limits(config, state)}
<h2>Faults</h2>
{_faults(faults)}
</body></html>
"""


def _cards(state: Mapping[str, Any]) -> str:
    shown = [
        ("users", state["users"]),
        ("devices", state["devices"]),
        ("events stored", state["events"]),
        ("duplicates discarded", state["duplicates"]),
        ("filtered out", state["filtered"]),
    ]
    cards = "".join(f"<div class=card><b>{n:,}</b><span>{name}</span></div>" for name, n in shown)
    return f"<div class=cards>{cards}</div>"


def _requests(state: Mapping[str, Any]) -> str:
    rows = [
        (
            f"<code>POST {path}</code>",
            f"{requests:,}",
            f"{state['acknowledged'][path]:,}",
            _refused(state["refused"][path]),
        )
        for path, requests in state["uploads"].items()
    ]
    queries = ("queries", f"{state['queries']:,}", "", _refused(state["queries_refused"]))
    return _table(("", "requests", "events acknowledged", "refused"), [*rows, queries], "lnnn")


def _refused(refusals: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} × {status}" for status, count in sorted(refusals.items())) or "0"


def _types(types: Sequence[tuple[str, int]]) -> str:
    if not types:
        return "<p>None yet.</p>"
    rows = [(escape(name), f"{count:,}") for name, count in types[:_MOST_TYPES]]
    if len(types) > _MOST_TYPES:
        rows.append((f"and {len(types) - _MOST_TYPES:,} more", ""))
    return _table(("event type", "events"), rows, "ln")


def _limits(config: EmulatorConfig, state: Mapping[str, Any]) -> str:
    rows = [("visible after", escape(str(config.visibility).strip('"')))]
    rows.append(("result cache", "documented ages" if config.cache else "off"))
    rows.append(("limits", escape(config.limits_name)))
    if config.capacity is not None:
        rows.append(("capacity", f"{config.capacity:,.0f} uploads a second, one after the other"))
    tables = (
        ("httpapi", config.httpapi),
        ("batch", config.batch),
        ("queries", config.queries),
        ("taxonomy", config.taxonomy),
    )
    for name, table in tables:
        given = [
            f"{entry.name.replace('_', ' ')} {getattr(table, entry.name):,}"
            for entry in dataclasses.fields(table)
            if entry.name not in ("window_s", "max_intervals")
            and getattr(table, entry.name) is not None
        ]
        rows.append((f"<code>{name}</code>", escape(", ".join(given)) or "none"))
    spent = ", ".join(f"{cost:,} in the last {name}" for name, cost in state["cost"].items())
    rows.append(("query cost spent", spent))
    names = {
        "discarded event types": config.blocked_event_types,
        "inactive event types": config.inactive_event_types,
        "silenced devices": config.silenced_devices,
    }
    rows += [(name, escape(", ".join(sorted(given)))) for name, given in names.items() if given]
    if config.block_bots:
        rows.append(("discarded user agents", "those of no browser"))
    return _table(("", ""), rows, "ll")


def _faults(faults: Sequence[ActiveFault]) -> str:
    if not faults:
        return "<p>None: it behaves.</p>"
    rows = [
        (
            f"<span class=on>{entry.kind}</span>",
            f"{escape(KINDS[entry.kind].does)}<br><code>{escape(_written(entry.fault))}</code>",
            f"{entry.truth.hits:,}",
        )
        for entry in faults
    ]
    return _table(("fault", "what it does, and to what", "hits"), rows, "lln")


def _written(fault: Fault) -> str:
    """Return the settings of a fault as a configuration writes them."""
    kind, selection = KINDS[fault.kind], fault.selection
    given: dict[str, object] = {
        "rate": selection.rate,
        "count": selection.count,
        "among": selection.among,
        "first": selection.first or None,
    }
    for name, ms in (
        ("after", selection.after_ms or None),
        ("lasting", selection.lasting_ms),
        ("every", selection.every_ms),
    ):
        given[name] = None if ms is None else f'"{duration(ms)}"'
    given["on"] = f'"{fault.on}"' if kind.on else None
    given["status"] = fault.status or None
    given["delay"] = fault.delay
    if kind.number is not None:
        given[kind.number_key] = fault.number
    given["partition"] = fault.partition
    return ", ".join(f"{name} = {value}" for name, value in given.items() if value is not None)


def _table(head: Iterable[str], rows: Iterable[Sequence[str]], columns: str) -> str:
    def line(tag: str, cells: Iterable[str]) -> str:
        return "".join(
            f"<{tag}{' class=n' if kind == 'n' else ''}>{cell}</{tag}>"
            for cell, kind in zip(cells, columns, strict=True)
        )

    body = "".join(f"<tr>{line('td', row)}</tr>" for row in rows)
    names = list(head)
    top = f"<tr>{line('th', names)}</tr>" if any(names) else ""
    return f"<table>{top}{body}</table>"
