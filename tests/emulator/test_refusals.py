"""Credentials, malformed queries, and the envelope of errors."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.emulator.conftest import Project

EVENT = '{"event_type":"probe"}'
WRONG = (
    b"a:b",
    b"an-api-key-of-the-tests",
    b"an-api-key-of-the-tests:",
    b"an-api-key-of-the-tests:another-secret-key",
    b"another-key:a-secret-key-of-the-tests",
)
DAYS = {"start": "20260615", "end": "20260615"}


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Basic",
        "Basic !!!",
        "Bearer token",
        *(f"Basic {base64.b64encode(pair).decode()}" for pair in WRONG),
    ],
)
def test_unknown_credentials(project: Project, authorization: str) -> None:
    for path in ("events/segmentation", "events/list", "usersearch", "useractivity", "export"):
        answer = project.request("GET", f"/api/2/{path}", authorization=authorization)
        assert answer.status == 401


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"e": None}, "missing required parameter e"),
        ({"e": "{"}, "e is not valid JSON"),
        ({"e": "[]"}, "e must be a JSON object"),
        ({"e": "{}"}, "no event_type"),
        ({"e": '{"event_type":"a","filters":{}}'}, "filters of e must be a list"),
        ({"e": '{"event_type":"a","filters":[{}]}'}, "names no property"),
        (
            {
                "e": '{"event_type":"a","filters":[{"subprop_type":"event","subprop_key":"k",'
                '"subprop_op":"equals","subprop_value":[]}]}'
            },
            "invalid operator: equals",
        ),
        ({"e": '{"event_type":"a","group_by":[{"type":"x","value":"k"}]}'}, "must be"),
        (
            {
                "e": '{"event_type":"a","group_by":'
                + str([{"type": "event", "value": "k"}] * 3)
                + "}"
            },
            "e is not valid JSON",
        ),
        ({"m": "median"}, "invalid m: median"),
        ({"m": "sums"}, "needs a group_by"),
        ({"n": "new"}, "invalid n: new"),
        ({"i": "2"}, "invalid i: 2"),
        ({"i": "day"}, "i must be a whole number"),
        ({"start": "2026-06-15"}, "start must be a date"),
        ({"start": "20261315"}, "start must be a date"),
        ({"start": "99991231", "end": "99991231"}, "start must be a date"),
        ({"start": "00010101", "end": "00010101"}, "start must be a date"),
        ({"end": ""}, "end must be a date"),
        ({"end": "20260614"}, "end must not be before start"),
        ({"limit": "1001"}, "limit must be from 1 to 1000"),
        ({"limit": "0"}, "limit must be from 1 to 1000"),
        ({"s": "{}"}, "s must be a JSON array"),
        ({"s": "[{}]"}, "names no prop"),
        ({"s": "[[],[]]", "g": "country"}, "g needs a single segment"),
        ({"formula": "UNIQUES(A)"}, "not available"),
        ({"e": '{"event_type":"revenue_amount"}'}, "revenue_amount is not available"),
    ],
)
def test_malformed_queries(project: Project, parameters: dict[str, Any], words: str) -> None:
    asked = {"e": EVENT} | DAYS | parameters
    given = {name: value for name, value in asked.items() if value is not None}
    status, body = project.ask("/api/2/events/segmentation", **given)
    assert status == 400
    assert body["error"].keys() == {"http_code", "type", "message", "metadata"}
    assert words in body["error"]["metadata"]["details"]


def test_text_that_is_not_utf_8(project: Project) -> None:
    pair = base64.b64encode(b"an-api-key-of-the-tests:a-secret-key-of-the-tests").decode()
    target = "/api/2/events/segmentation?e=%FF"
    assert project.request("GET", target, authorization=f"Basic {pair}").status == 400
