"""The emulator's description of itself, and that nothing it allows makes it fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis
import orjson
import pytest
import schemathesis
from schemathesis.specs.openapi import checks

from loadcheck.emulator.config import parse
from loadcheck.emulator.pages import description
from tests.emulator.conftest import API_KEY, SECRET_KEY, Serve

TEXT = {"enum": ["user-1", "probe", "p", "", "(none)", "1"]}
PROPERTY = {
    "type": "object",
    "properties": {"type": {"enum": ["event", "user", "group"]}, "value": TEXT},
}
EVENT = {
    "type": "object",
    "required": ["event_type"],
    "properties": {
        "event_type": {"enum": ["probe", "_all", "_active", "ce:x"]},
        "group_by": {"type": "array", "maxItems": 2, "items": PROPERTY},
        "filters": {
            "type": "array",
            "maxItems": 3,
            "items": {
                "type": "object",
                "properties": {
                    "subprop_type": {"enum": ["event", "user", "group"]},
                    "subprop_key": TEXT,
                    "subprop_op": {
                        "enum": ["is", "is not", "contains", "less", "set is", "greater"]
                    },
                    "subprop_value": {"type": "array", "items": {}},
                },
            },
        },
    },
}


def deep() -> dict[str, Any]:
    """The description, narrowed so that more than the front door is tried."""
    content: dict[str, Any] = orjson.loads(description(parse({})))
    for path in ("/2/httpapi", "/batch"):
        body = content["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        body["schema"]["properties"]["api_key"] = {"const": API_KEY}
    form = content["paths"]["/identify"]["post"]["requestBody"]["content"]
    (taken,) = (each["schema"]["properties"] for each in form.values())
    taken["api_key"] = {"const": API_KEY}
    taken["identification"] = {
        "enum": ['{"user_id":"user-1"}', '[{"user_id":"üser-3"}]', "[]", "{"]
    }
    fields = content["components"]["schemas"]["Event"]["properties"]
    fields["user_id"] = fields["device_id"] = {"enum": ["user-1", "user-2", "üser-3"]}
    fields["event_type"] = {"enum": ["probe", "$identify"]}
    fields["time"] = {"type": "integer", "minimum": 0, "maximum": 2**41}
    for item in content["paths"].values():
        for operation in item.values():
            for parameter in operation.get("parameters", []):
                name = parameter["name"]
                if name in ("e", "e2"):
                    del parameter["schema"]
                    parameter["content"] = {"application/json": {"schema": EVENT}}
                elif name in ("start", "end", "start_day", "end_day", "day"):
                    hour = "T12" if "export" in operation["operationId"] else ""
                    parameter["schema"] = {"enum": [f"2026061{n}{hour}" for n in range(4, 6)]}
                elif name in ("user", "amplitude_id"):
                    parameter["schema"] = {"enum": [100_000_000_000, 100_000_000_001, 7]}
    return content


schema = schemathesis.openapi.from_dict(deep())
settings: Callable[[Any], Any] = hypothesis.settings(
    max_examples=15, deadline=None, suppress_health_check=list(hypothesis.HealthCheck)
)


@pytest.fixture
def url(serve: Serve) -> str:
    served = serve(export_lag=0)
    for fields in ({"user_id": "user-1"}, {"device_id": "device-1"}):
        event = {"event_type": "probe", "event_properties": {"p": [1, "x"], "1": 1.5}}
        assert served.project.upload(fields | event)["code"] == 200
    served.project.move(hours=1)
    return served.url


every_operation: Callable[[Any], Any] = schema.parametrize()


@pytest.mark.long
@every_operation
@settings
def test_whatever_is_sent_is_answered_as_described(case: Any, url: str) -> None:
    wanted = (
        schemathesis.checks.not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_schema_conformance,
    )
    case.call_and_validate(base_url=url, auth=(API_KEY, SECRET_KEY), checks=wanted)
