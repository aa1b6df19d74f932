"""What an upload is answered: accepted as a whole, or refused as documented."""

from __future__ import annotations

import gzip
from typing import Any

import orjson
import pytest

from loadcheck.emulator.protocol import MAX_BODY_BYTES
from tests.emulator.conftest import Make, Project

PATHS = ("/2/httpapi", "/batch")
EVENT = {"user_id": "user-1", "event_type": "probe"}


@pytest.mark.parametrize("path", PATHS)
def test_an_accepted_upload_is_told_what_was_taken(project: Project, path: str) -> None:
    payload = {"api_key": "an-api-key-of-the-tests", "events": [EVENT, EVENT]}
    status, body = project.post(payload, path)
    assert status == 200
    assert body == {
        "code": 200,
        "events_ingested": 2,
        "payload_size_bytes": 132,
        "server_upload_time": project.now_ms,
    }


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("body", "error", "missing"),
    [
        (b"", "Missing request body", None),
        (b"{", "Invalid JSON request body", None),
        (b"[]", "Invalid JSON request body", None),
        (b"{}", "Request missing required field", "api_key"),
        (b'{"api_key":"nobody","events":[{}]}', "Invalid API key: nobody", None),
        (b'{"api_key":"an-api-key-of-the-tests"}', "Request missing required field", "events"),
        (
            b'{"api_key":"an-api-key-of-the-tests","events":[]}',
            "Request missing required field",
            "events",
        ),
        (b'{"api_key":"an-api-key-of-the-tests","events":{"a":1}}', "Invalid event JSON", None),
    ],
)
def test_a_bad_request_is_refused(
    project: Project, path: str, body: bytes, error: str, missing: str | None
) -> None:
    status, answer = project.post(body, path)
    assert (status, answer["code"], answer["error"]) == (400, 400, error)
    assert answer.get("missing_field") == missing


def test_the_content_type_is_mandatory(project: Project) -> None:
    answer = project.request("POST", "/2/httpapi", b"{}", content_type="text/plain")
    assert answer.status == 400


def test_the_path_is_checked(project: Project) -> None:
    assert project.post({}, "/httpapi") == (400, {"code": 400, "error": "Invalid request path"})
    assert project.request("GET", "/httpapi").status == 404
    assert project.request("GET", "/2/httpapi").status == 405


def test_gzip_is_read(project: Project) -> None:
    payload = orjson.dumps({"api_key": "an-api-key-of-the-tests", "events": [EVENT]})
    answer = project.request(
        "POST",
        "/2/httpapi",
        gzip.compress(payload),
        content_type="application/json",
        content_encoding="gzip",
    )
    assert answer.status == 200
    assert b'"payload_size_bytes":%d,' % len(payload) in answer.body
    assert project.count() == 1


def test_what_claims_to_be_gzip_and_is_not_is_refused(project: Project) -> None:
    answer = project.request(
        "POST", "/batch", b"{}", content_type="application/json", content_encoding="gzip"
    )
    assert answer.status == 400


@pytest.mark.parametrize(("path", "cap"), [("/2/httpapi", 1_000_000), ("/batch", 20_000_000)])
def test_a_request_of_too_many_bytes_is_refused(project: Project, path: str, cap: int) -> None:
    payload = {"api_key": "an-api-key-of-the-tests", "events": [EVENT], "padding": ""}
    room = cap - project.upload(EVENT, path=path, padding="")["payload_size_bytes"]
    assert project.post(payload | {"padding": "x" * room}, path)[0] == 200
    assert project.post(payload | {"padding": "x" * (room + 1)}, path) == (
        413,
        {"code": 413, "error": "Payload too large"},
    )


def test_the_cap_counts_decompressed_bytes(project: Project) -> None:
    answer = project.request(
        "POST",
        "/2/httpapi",
        gzip.compress(b" " * 1_000_001),
        content_type="application/json",
        content_encoding="gzip",
    )
    assert answer.status == 413


@pytest.mark.parametrize("faults", [{}, {"slow": {}}])  # with faults it is read for the truth too
def test_a_few_bytes_of_gzip_do_not_fill_the_memory(make: Make, faults: dict[str, Any]) -> None:
    off = {"max_bytes": "off", "user_events_per_s": "off"}
    bomb = gzip.compress(b" " * 2 * MAX_BODY_BYTES)
    project = make(limits={"httpapi": off}, faults=faults)
    answer = project.request(
        "POST", "/2/httpapi", bomb, content_type="application/json", content_encoding="gzip"
    )
    assert answer.status == 413


@pytest.mark.parametrize("path", PATHS)
def test_a_request_of_too_many_events_is_refused(project: Project, path: str) -> None:
    assert project.upload(*[EVENT] * 2000, path=path)["events_ingested"] == 2000
    assert project.upload(*[EVENT] * 2001, path=path)["code"] == 413
    assert project.count(m="totals") == 2000


def test_caps_can_be_configured(make: Make) -> None:
    project = make(limits={"base": "off", "httpapi": {"max_events": 1, "max_bytes": 200}})
    assert project.upload(EVENT)["code"] == 200
    assert project.upload(EVENT, EVENT)["code"] == 413
    assert project.upload(EVENT, padding="x" * 200)["code"] == 413


def test_one_bad_event_refuses_all(project: Project) -> None:
    project.upload(EVENT, {"user_id": "user-2"})
    assert project.count("_all", m="totals") == 0


def test_a_silenced_device_is_refused(make: Make) -> None:
    project = make(silenced_devices=["device-9"])
    silenced = {"device_id": "device-9", "event_type": "probe"}
    assert project.upload(EVENT, silenced, path="/batch") == {
        "code": 400,
        "error": "Events silenced for device_id",
        "eps_threshold": 0,
        "exceeded_daily_quota_devices": {},
        "silenced_devices": ["device-9"],
        "silenced_events": [1],
        "throttled_devices": {},
        "throttled_events": [],
    }


def test_blocked_event_types_are_acknowledged_and_discarded(make: Make) -> None:
    project = make(blocked_event_types=["noise"])
    assert project.user("user-1", "noise")["events_ingested"] == 1
    assert project.count("noise") == 0


def test_bots_are_acknowledged_and_discarded(make: Make) -> None:
    project = make(block_bots=True)
    project.user("bot-user", user_agent="curl/8.0")
    project.user("browser-user", user_agent="Mozilla/5.0 (X11)")
    project.user("other-user")
    assert project.count() == 2
