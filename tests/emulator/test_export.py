"""The export: by server upload time in UTC, hours later."""

from __future__ import annotations

import gzip
import io
import zipfile
from typing import Any

import orjson
import pytest

from tests.emulator.conftest import Make, Project


def export(project: Project, start: str, end: str) -> dict[str, list[Any]]:
    answer = project.asked("/api/2/export", start=start, end=end)
    assert (answer.status, answer.content_type) == (200, b"application/zip")
    with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
        return {
            name: [orjson.loads(line) for line in gzip.decompress(archive.read(name)).splitlines()]
            for name in archive.namelist()
        }


def test_hours_become_available_two_hours_after_their_end(project: Project) -> None:
    project.user("user-1")
    project.move(hours=2, minutes=59)
    assert project.ask("/api/2/export", start="20260615T12", end="20260615T12")[0] == 404
    project.move(minutes=1)
    assert len(export(project, "20260615T12", "20260615T12")) == 1


def test_by_upload_time_and_not_by_event_time(make: Make) -> None:
    project = make(time_zone="Asia/Tokyo")
    project.user("user-1", time=0)
    project.move(hours=1)
    project.user("user-2", time=0)
    project.move(hours=5)
    files = export(project, "20260615T12", "20260615T13")
    assert list(files) == ["1/1_2026-06-15_12#0.json.gz", "1/1_2026-06-15_13#0.json.gz"]
    events = [event for lines in files.values() for event in lines]
    assert [event["user_id"] for event in events] == ["user-1", "user-2"]
    assert list(export(project, "20260615T13", "20260615T20")) == ["1/1_2026-06-15_13#0.json.gz"]


def test_what_an_event_looks_like(make: Make) -> None:
    project = make(export_lag=0)
    project.user(
        "user-1",
        insert_id="i-1",
        event_properties={"n": 1, "t": "x", "l": [1, "a"], "o": {"k": None}},
        user_properties={"team": "red"},
        groups={"org": "acme"},
        platform="Web",
        session_id=5,
    )
    project.upload({"device_id": "device-2", "event_type": "probe"})
    project.move(hours=1)
    (first, second) = export(project, "20260615T12", "20260615T12").popitem()[1]
    assert first["event_properties"] == {"n": 1, "t": "x", "l": [1, "a"], "o": {"k": None}}
    assert first["user_properties"] == {"team": "red"}
    assert first["groups"] == {"org": "acme"}
    assert (first["platform"], first["session_id"]) == ("Web", 5)
    assert first["$insert_id"] == "i-1"
    assert first["server_upload_time"] == "2026-06-15 12:00:00.000000"
    assert (second["user_id"], second["device_id"]) == (None, "device-2")
    assert first["device_id"]
    assert first["uuid"] != second["uuid"]


def test_times_by_the_clients_clock_are_kept(make: Make) -> None:
    project = make(export_lag=0)
    event = {"user_id": "user-1", "event_type": "probe", "time": project.now_ms - 7_200_000}
    project.upload(event, client_upload_time="2026-06-15T11:00:00.000Z")
    project.move(hours=1)
    ((found,),) = export(project, "20260615T12", "20260615T12").values()
    times = {name: found[name][11:16] for name in found if name.endswith("time")}
    assert times == {
        "event_time": "11:00",
        "client_event_time": "10:00",
        "client_upload_time": "11:00",
        "server_received_time": "12:00",
        "server_upload_time": "12:00",
        "processed_time": "12:00",
    }


@pytest.mark.parametrize(
    ("start", "end", "status"),
    [
        ("20260615T12", "20260615T11", 400),
        ("20260615", "20260615T11", 400),
        ("20260615T24", "20260615T24", 400),
        ("20250101T00", "20260615T00", 400),
        ("20260101T00", "20260102T00", 404),
    ],
)
def test_refusals(project: Project, start: str, end: str, status: int) -> None:
    assert project.ask("/api/2/export", start=start, end=end)[0] == status
