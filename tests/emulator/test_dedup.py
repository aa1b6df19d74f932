"""Which events count once though they came twice."""

from __future__ import annotations

from tests.emulator.conftest import Project


def totals(project: Project) -> int:
    day = 20260615
    counted: int = project.count(m="totals", start=day, end=day + 15)
    return counted


def test_the_same_insert_id_counts_once_but_is_acknowledged_twice(project: Project) -> None:
    for _ in range(2):
        assert project.user("user-1", insert_id="i-1")["events_ingested"] == 1
    assert totals(project) == 1


def test_within_one_upload_too(project: Project) -> None:
    event = {"user_id": "user-1", "event_type": "probe", "insert_id": "i-1"}
    assert project.upload(event, event)["events_ingested"] == 2
    assert totals(project) == 1


def test_the_same_insert_id_of_another_user_is_another_event(project: Project) -> None:
    project.user("user-1", insert_id="i-1")
    project.user("user-2", insert_id="i-1")
    assert totals(project) == 2


def test_the_device_decides_not_the_user(project: Project) -> None:
    project.user("user-1", insert_id="i-1", device_id="device-1")
    project.user("user-2", insert_id="i-1", device_id="device-1")
    project.user("user-1", insert_id="i-1", device_id="device-2")
    assert totals(project) == 2


def test_for_seven_days(project: Project) -> None:
    project.user("user-1", insert_id="i-1")
    project.move(days=7, milliseconds=-1)
    project.user("user-1", insert_id="i-1")
    assert totals(project) == 1
    project.move(milliseconds=1)
    project.user("user-1", insert_id="i-1")
    assert totals(project) == 2
    project.user("user-1", insert_id="i-1")
    assert totals(project) == 2


def test_event_id_time_and_device_are_a_key_too(project: Project) -> None:
    first = {"device_id": "device-1", "event_id": 1, "time": project.now_ms}
    project.user("user-1", **first)
    project.user("user-1", **first, insert_id="i-1")
    project.user("user-1", **first | {"event_id": 2})
    project.user("user-1", **first | {"device_id": "device-2"})
    project.user("user-1", **first | {"time": project.now_ms - 1})
    assert totals(project) == 4


def test_without_any_key_everything_counts(project: Project) -> None:
    for _ in range(3):
        project.user("user-1", time=project.now_ms)
    assert totals(project) == 3
