"""What is counted, and in which shape it is told."""

from __future__ import annotations

from typing import Any

import pytest

from tests.emulator.conftest import Make, Project

DAY = 86_400_000


@pytest.fixture
def busy(project: Project) -> Project:
    """Three users in two days: user-1 on both, twice today; user-3 does something else."""
    now = project.now_ms
    project.user("user-1", time=now - DAY, event_properties={"price": 1})
    project.user("user-1", time=now, event_properties={"price": 2.5})
    project.user("user-1", time=now, event_properties={"price": "4"})
    project.user("user-2", time=now, event_properties={"price": "free"})
    project.user("user-3", "other", time=now)
    return project


def two_days(project: Project, event_type: str = "probe", **parameters: Any) -> tuple[Any, Any]:
    data = project.chart(event_type, start=20260614, end=20260615, **parameters)["data"]
    return data["series"][0], data["seriesCollapsed"][0][0]["value"]


PRICE = [{"type": "event", "value": "price"}]


@pytest.mark.parametrize(
    ("parameters", "series", "collapsed"),
    [
        ({}, [1, 2], 2),  # not 3: a user of both days is one user
        ({"m": "uniques"}, [1, 2], 2),
        ({"m": "totals"}, [1, 3], 4),
        ({"m": "average"}, [1.0, 1.5], 2.0),
        ({"m": "pct_dau"}, [100.0, 200 / 3], 200 / 3),
        ({"m": "sums", "group_by": PRICE}, [1.0, 6.5], 7.5),
        ({"m": "value_avg", "group_by": PRICE}, [1.0, 3.25], 2.5),
        ({"n": "active"}, [1, 2], 2),
    ],
)
def test_metrics(
    busy: Project, parameters: dict[str, Any], series: list[float], collapsed: float
) -> None:
    found = two_days(busy, **parameters)
    assert found == (pytest.approx(series), pytest.approx(collapsed))


def test_histogram_counts_events_by_value(busy: Project) -> None:
    assert busy.groups(m="histogram", group_by=PRICE) == {"2.5": 1, "4": 1, "free": 1}


def test_all_and_active(make: Make) -> None:
    project = make(inactive_event_types=["ping"])
    project.user("user-1")
    project.user("user-2", "ping")
    project.user("user-3", "$identify", user_properties={"$set": {"a": 1}})
    assert project.count("_all") == 2
    assert project.count("_active") == 1
    assert project.count("ping") == 1
    assert project.count("ping", n="active") == 0


def test_custom_events(make: Make) -> None:
    project = make(custom_events={"Bought": ["buy", "subscribe"]})
    for user, event_type in (("user-1", "buy"), ("user-2", "subscribe"), ("user-3", "look")):
        project.user(user, event_type)
    assert project.count("ce:Bought") == 2
    assert project.count("ce:Sold") == 0


def test_many_events_are_counted_in_a_thread(project: Project) -> None:
    for first in range(0, 60_000, 2000):
        events = [
            {"user_id": f"user-{number}", "event_type": "probe", "event_properties": {"n": number}}
            for number in range(first, first + 2000)
        ]
        project.upload(*events)
    assert project.count() == 60_000
    project.user("user-1")
    assert (project.count(), project.count(m="totals")) == (60_000, 60_001)
    condition = {"subprop_type": "event", "subprop_key": "n", "subprop_op": "less"}
    assert project.count(filters=[condition | {"subprop_value": ["100"]}]) == 100


def test_the_shape_that_clients_see(busy: Project) -> None:
    body = busy.chart(start=20260614, end=20260615)
    assert body == {
        "data": {
            "series": [[1, 2]],
            "seriesLabels": [0],
            "seriesMeta": [{"segmentIndex": 0, "eventIndex": 0}],
            "seriesCollapsed": [[{"setId": "", "value": 2}]],
            "xValues": ["2026-06-14", "2026-06-15"],
        },
        "prunedResult": False,
        "timeComputed": busy.now_ms,
        "wasCached": False,
        "cacheFreshness": "fresh",
        "millisSinceComputed": 0,
        "minSampleRate": 1.0,
        "novaCost": 2,
    }


def test_two_events(busy: Project) -> None:
    data = busy.chart(e2={"event_type": "other"})["data"]
    assert data["series"] == [[2], [1]]
    assert data["seriesLabels"] == [0, 1]
    assert [meta["eventIndex"] for meta in data["seriesMeta"]] == [0, 1]


def test_an_unknown_event_type_is_an_empty_chart(project: Project, make: Make) -> None:
    assert project.chart("nothing")["data"]["seriesCollapsed"] == [[{"setId": "", "value": 0}]]
    other = make(empty_result="empty")
    assert other.chart("nothing")["data"]["series"] == []
    other.user("user-1")
    assert other.count() == 1


class TestIdentity:
    def test_many_devices_of_one_user_are_one(self, project: Project) -> None:
        for number in range(3):
            project.user("user-1", device_id=f"device-{number}")
        assert project.count() == 1

    def test_many_users_of_one_device_are_many(self, project: Project) -> None:
        for number in range(3):
            project.user(f"user-{number}", device_id="device-1")
        assert project.count() == 3

    def test_anonymous_devices_count_by_themselves(self, project: Project) -> None:
        for number in range(3):
            project.upload({"device_id": f"device-{number}", "event_type": "probe"})
        assert project.count() == 3

    def test_history_merges_into_the_first_user_so_counts_may_fall(self, project: Project) -> None:
        project.upload({"device_id": "device-1", "event_type": "probe"})
        project.user("user-1")
        assert project.count() == 2
        project.user("user-1", device_id="device-1")
        assert project.count() == 1
        project.user("user-2", device_id="device-1")
        project.upload({"device_id": "device-1", "event_type": "probe"})
        assert project.count() == 2
        assert project.groups(group_by=[{"type": "user", "value": "user_id"}]) == {
            "(none)": 1,
            "user-1": 1,
            "user-2": 1,
        }


class TestVisibility:
    def test_fixed(self, make: Make) -> None:
        project = make(visibility_delay="500ms")
        project.user("user-1")
        project.move(milliseconds=499)
        assert project.count() == 0
        project.move(milliseconds=1)
        assert project.count() == 1

    @pytest.mark.parametrize(
        ("delay", "early", "late"),
        [
            ({"min": "10s", "max": "20s"}, 9, 20),
            ({"median": "10s", "p99": "11s"}, 8, 14),
        ],
    )
    def test_a_distribution(self, make: Make, delay: Any, early: int, late: int) -> None:
        project = make(visibility_delay=delay)
        for number in range(200):
            project.user(f"user-{number:03}")
        project.move(seconds=early)
        assert project.count() == 0
        project.move(seconds=(early + late) / 2 - early)
        assert 0 < project.count() < 200
        project.move(seconds=late)
        assert project.count() == 200

    def test_is_the_same_with_the_same_seed(self, make: Make) -> None:
        def curve(seed: int) -> list[int]:
            project = make(seed=seed, visibility_delay={"min": 0, "max": "10s"})
            for number in range(50):
                project.user(f"user-{number:03}")
            counts = []
            for _ in range(10):
                project.move(seconds=1)
                counts.append(project.count())
            return counts

        assert curve(1) == curve(1) != curve(2)


def test_names_beyond_the_projects_room_are_stored_but_not_found(make: Make) -> None:
    project = make(
        limits={"taxonomy": {"event_types": 2, "event_properties": 1, "user_properties": 1}}
    )
    for number in range(3):
        project.user("user-1", f"type-{number}", event_properties={f"key-{number}": 1})
    assert [project.count(f"type-{number}") for number in range(3)] == [1, 1, 0]
    assert project.count("_all", m="totals") == 3
    by = [{"type": "event", "value": "key-0"}]
    assert project.groups("type-0", group_by=by) == {"1": 1}
    by = [{"type": "event", "value": "key-1"}]
    assert project.groups("type-1", group_by=by) == {"(none)": 1}
