"""``/openapi.json``: the emulator's own description of its endpoints."""

from __future__ import annotations

from typing import Any

import orjson

from loadcheck.emulator.config import EmulatorConfig
from loadcheck.emulator.ingest.check import TYPES

_JSON_NAMES = {str: "string", int: "integer", float: "number", bool: "boolean", dict: "object"}
_DAY = {"type": "string", "pattern": "^[0-9]{8}$", "description": "YYYYMMDD"}
_HOUR = {"type": "string", "pattern": "^[0-9]{8}T[0-9]{2}$", "description": "YYYYMMDDTHH, UTC"}


def description(config: EmulatorConfig) -> bytes:
    """Return the description as JSON (OpenAPI 3.1.0)."""
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
