"""The field rules, one by one."""

from __future__ import annotations

from typing import Any

import pytest

from tests.emulator.conftest import Make, Project


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth - 1):
        value = {"inner": value}
    return value


GOOD: list[dict[str, Any]] = [
    {},
    {"device_id": "device-1"},
    {"time": 0},
    {"time": None},
    {"session_id": -1, "event_id": 7},
    {"price": 3, "quantity": 2, "revenue": 1.5},
    {"event_properties": nested(40)},
    {"event_properties": None},
    {"groups": {"team": ["a", "b"]}},
    {"event_type": "$identify"},
    {"event_type": "[Amplitude] Page Viewed"},
    {"something_else": [1]},
    {"event_properties": {"long": "x" * 5000}},
]

BAD: list[tuple[dict[str, Any], str]] = [
    ({"user_id": 12345}, "user_id"),
    ({"user_id": "x" * 1025}, "user_id"),
    ({"event_type": 5}, "event_type"),
    ({"time": "2026-06-15"}, "time"),
    ({"time": 1.5}, "time"),
    ({"time": True}, "time"),
    ({"time": -1}, "time"),
    ({"time": 253402300800000}, "time"),
    ({"session_id": "now"}, "session_id"),
    ({"event_id": 1.5}, "event_id"),
    ({"price": "3"}, "price"),
    ({"price": True}, "price"),
    ({"event_properties": []}, "event_properties"),
    ({"event_properties": nested(41)}, "event_properties"),
    ({"user_properties": {"a": [nested(40)]}}, "user_properties"),
    ({"groups": "team"}, "groups"),
    ({"insert_id": 7}, "insert_id"),
    ({"device_id": "00000000-0000-0000-0000-000000000000"}, "device_id"),
]


@pytest.mark.parametrize("fields", GOOD)
def test_accepted(project: Project, fields: dict[str, Any]) -> None:
    event = {"user_id": "user-1", "event_type": "probe"} | fields
    assert project.upload(event)["code"] == 200


@pytest.mark.parametrize(("fields", "name"), BAD)
def test_refused(project: Project, fields: dict[str, Any], name: str) -> None:
    event = {"user_id": "user-1", "event_type": "probe"} | fields
    answer = project.upload(event)
    assert (answer["code"], answer["error"]) == (400, "Invalid field values on some events")
    assert answer["events_with_invalid_fields"] == {name: [0]}
    assert answer["events_with_missing_fields"] == {}


# as the HTTP V2 API's page lists them
FORBIDDEN = [
    *("anonymous", "nil", "none", "null", "n/a", "na", "undefined", "unknown", "", "{}"),
    *("00000000-0000-0000-0000-000000000000", "lmy47d", "0", "-1"),
]


@pytest.mark.parametrize("identifier", [*FORBIDDEN, "Unknown", "ANONYMOUS"])
@pytest.mark.parametrize("name", ["user_id", "device_id"])
def test_forbidden_ids_are_refused(project: Project, name: str, identifier: str) -> None:
    answer = project.upload({name: identifier, "event_type": "probe"})
    assert answer["events_with_invalid_fields"] == {name: [0]}


def test_an_event_that_is_none_is_refused(project: Project) -> None:
    assert project.upload("probe")["events_with_invalid_fields"] == {"event": [0]}


@pytest.mark.parametrize(
    ("event", "name"),
    [
        ({"event_type": "probe"}, "user_id"),
        ({"event_type": "probe", "user_id": None}, "user_id"),
        ({"user_id": "user-1"}, "event_type"),
        ({"user_id": "user-1", "event_type": ""}, "event_type"),
    ],
)
def test_required_fields(project: Project, event: dict[str, Any], name: str) -> None:
    answer = project.upload(event)
    assert answer["error"] == "Request missing required field"
    assert answer["events_with_missing_fields"] == {name: [0]}
    assert "missing_field" not in answer  # SDKs would drop the whole batch


def test_httpapi_lists_the_first_bad_event_and_batch_all(project: Project) -> None:
    good = {"user_id": "user-1", "event_type": "probe"}
    events = [good, good | {"time": "x"}, {"user_id": "user-2"}, good | {"time": "y"}]
    first, every = project.upload(*events), project.upload(*events, path="/batch")
    assert first["events_with_invalid_fields"] == {"time": [1]}
    assert every["events_with_invalid_fields"] == {"time": [1, 3]}
    assert first["events_with_missing_fields"] == {"event_type": [2]}


class TestShortIds:
    def test_are_stripped_where_another_one_is_left(self, project: Project) -> None:
        project.upload({"user_id": "u", "device_id": "device-1", "event_type": "probe"})
        assert project.ask("/api/2/usersearch", user="u")[1]["matches"] == []
        assert project.count() == 1

    def test_are_refused_where_none_is_left(self, project: Project) -> None:
        answer = project.upload({"user_id": "user", "event_type": "probe"})
        assert answer["error"] == "Invalid id length for user_id or device_id"
        assert answer["events_with_invalid_id_lengths"] == {"user_id": [0]}

    def test_can_be_refused_always(self, make: Make) -> None:
        event = {"user_id": "u", "device_id": "device-1", "event_type": "probe"}
        project = make(short_ids="refuse")
        answer = project.upload(event)
        assert answer["events_with_invalid_id_lengths"] == {"user_id": [0]}
        assert project.upload(event, path="/batch")["code"] == 200

    @pytest.mark.parametrize(("least", "code"), [(1, 200), (4, 200), (5, 400), ("x", 400)])
    def test_the_client_may_allow_them(self, project: Project, least: object, code: int) -> None:
        event = {"user_id": "user", "event_type": "probe"}
        assert project.upload(event, options={"min_id_length": least})["code"] == code

    def test_the_client_may_ask_for_longer_ones(self, project: Project) -> None:
        event = {"user_id": "user-1", "event_type": "probe"}
        assert project.upload(event, options={"min_id_length": 7})["code"] == 400


def test_long_property_values_are_truncated(project: Project) -> None:
    project.user("user-1", event_properties={"text": "x" * 1025})
    assert list(project.groups(group_by=[{"type": "event", "value": "text"}])) == ["x" * 1024]


@pytest.mark.parametrize("name", ["user_id", "device_id", "event_type", "insert_id"])
def test_what_tells_events_apart_is_refused_where_it_is_too_long(
    project: Project, name: str
) -> None:
    event = {"user_id": "user-1", "event_type": "probe"}
    assert project.upload(event | {name: "x" * 1024})["code"] == 200
    answer = project.upload(event | {name: "x" * 1025})
    assert (answer["code"], answer["events_with_invalid_fields"]) == (400, {name: [0]})


def test_absent_time_is_the_time_of_the_upload(project: Project) -> None:
    project.user("user-1")
    data = project.chart(i=-3600000)["data"]
    assert dict(zip(data["xValues"], data["series"][0], strict=True))["2026-06-15T12:00:00"] == 1


def test_time_is_shifted_where_the_clients_clock_is_wrong(project: Project) -> None:
    hour_ago = project.now_ms - 3_600_000
    event = {"user_id": "user-1", "event_type": "probe", "time": hour_ago}
    project.upload(event, client_upload_time="2026-06-15T11:00:00.000Z")
    data = project.chart(i=-3600000)["data"]
    assert dict(zip(data["xValues"], data["series"][0], strict=True))["2026-06-15T12:00:00"] == 1


def test_a_shift_does_not_leave_the_calendar(project: Project) -> None:
    event = {"user_id": "user-1", "event_type": "probe"}
    for time, sent in ((0, "9999-01-01"), (253402300799999, "1970-01-01")):
        project.upload(event | {"time": time}, client_upload_time=sent)
    person = project.ask("/api/2/usersearch", user="user-1")[1]["matches"][0]["amplitude_id"]
    events = project.ask("/api/2/useractivity", user=person)[1]["events"]
    assert [event["event_time"][:4] for event in events] == ["9999", "1970"]


def test_time_is_not_shifted_by_less_than_a_minute(project: Project) -> None:
    event = {"user_id": "user-1", "event_type": "probe", "time": project.now_ms - 3_600_000}
    project.upload(event, client_upload_time="2026-06-15T11:59:00.000Z")
    data = project.chart(i=-3600000)["data"]
    assert dict(zip(data["xValues"], data["series"][0], strict=True))["2026-06-15T11:00:00"] == 1


def test_excess_groups_are_ignored(project: Project) -> None:
    """At most five types of groups, and ten groups in all."""

    def kept(name: str) -> int:
        found = project.groups(group_by=[{"type": "group", "value": name}])
        return sum(label != "(none)" for label in found)

    project.user("user-1", groups={"a": ["1", "2", "3", "4"], "b": [str(n) for n in range(12)]})
    assert (kept("a"), kept("b")) == (4, 6)
    project.user("user-2", groups={f"type-{number}": "x" for number in range(6)})
    assert [kept(f"type-{number}") for number in range(6)] == [1, 1, 1, 1, 1, 0]
    project.user("user-3", groups={"c": [str(n) for n in range(10)], "d": "x", "e": ["y"]})
    assert (kept("c"), kept("d"), kept("e")) == (10, 0, 0)
