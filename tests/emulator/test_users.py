"""Searching users and reading what they did."""

from __future__ import annotations

from typing import Any

import pytest

from tests.emulator.conftest import Make, Project


def search(project: Project, user: str) -> tuple[str, list[str | None]]:
    status, body = project.ask("/api/2/usersearch", user=user)
    assert status == 200
    return body["type"], [match["user_id"] for match in body["matches"]]


def activity(project: Project, user_id: str, **parameters: Any) -> Any:
    person = project.ask("/api/2/usersearch", user=user_id)[1]["matches"][0]["amplitude_id"]
    status, body = project.ask("/api/2/useractivity", user=person, **parameters)
    assert status == 200
    return body


def test_search(project: Project) -> None:
    project.user("user-1", device_id="device-1")
    project.user("user-2")
    project.upload({"device_id": "device-3", "event_type": "probe"})
    assert search(project, "user-1") == ("match_user_or_device_id", ["user-1"])
    assert search(project, "device-1") == ("match_user_or_device_id", ["user-1"])
    assert search(project, "device-3") == ("match_user_or_device_id", [None])
    assert search(project, "user") == ("match_prefix", ["user-1", "user-2"])
    assert search(project, "nobody") == ("nomatch", [])
    person = project.ask("/api/2/usersearch", user="user-2")[1]["matches"][0]["amplitude_id"]
    assert search(project, str(person)) == ("match_user_or_device_id", ["user-2"])


def test_activity(make: Make) -> None:
    project = make(visibility_delay="1s")
    project.upload({"device_id": "device-1", "event_type": "before"})
    project.move(seconds=1)
    project.user("user-1", device_id="device-1", event_properties={"a": 1}, insert_id="i-1")
    project.move(seconds=1)
    project.user("user-1", "not yet")
    body = activity(project, "user-1")
    assert [event["event_type"] for event in body["events"]] == ["probe", "before"]
    event = body["events"][0]
    assert event["event_properties"] == {"a": 1}
    assert event["$insert_id"] == "i-1"
    assert event["event_time"] == "2026-06-15 12:00:01.000000"
    data = body["userData"]
    assert (data["user_id"], data["num_events"]) == ("user-1", 2)
    assert len(data["merged_amplitude_ids"]) == 1
    assert data["canonical_amplitude_id"] == event["amplitude_id"]


def test_activity_is_paged(project: Project) -> None:
    for number in range(5):
        project.user("user-1", f"type-{number}", time=project.now_ms + number)

    def shown(**parameters: Any) -> str:
        events = activity(project, "user-1", **parameters)["events"]
        return "".join(event["event_type"][-1] for event in events)

    assert shown() == "43210"
    assert shown(direction="earliest") == "01234"
    assert shown(limit=1) == "43"  # zero-indexed
    assert shown(offset=3) == "10"
    assert shown(offset=1, limit=0, direction="earliest") == "1"


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"user": "user-1"},
        {"user": "9" * 5000},
        {"user": 7},
        {"user": 100_000_000_000, "limit": -1},
    ],
)
def test_activity_refuses(project: Project, parameters: dict[str, Any]) -> None:
    project.user("user-1")
    assert project.ask("/api/2/useractivity", **parameters)[0] == 400


def test_events_list(make: Make) -> None:
    project = make(inactive_event_types=["ping"], visibility_delay="1s")
    project.user("user-1", "old", time=project.now_ms - 7 * 86_400_000)
    project.user("user-1", "ping")
    project.user("user-2", "ping")
    assert project.ask("/api/2/events/list") == (200, {"data": []})
    project.move(seconds=1)
    data = project.ask("/api/2/events/list")[1]["data"]
    assert [(entry["value"], entry["totals"], entry["non_active"]) for entry in data] == [
        ("old", 0, False),
        ("ping", 2, True),
    ]
