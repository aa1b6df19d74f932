"""Rate limits: per user, per device, per day, and for the project."""

from __future__ import annotations

from typing import Any

import pytest

from tests.emulator.conftest import Make, Project

EVENT = {"user_id": "user-1", "event_type": "probe"}
NO_PROJECT = {"project_events_per_s": "off", "project_requests_per_s": "off"}


def limited(make: Make, **limits: Any) -> Project:
    both = {"httpapi": NO_PROJECT | limits, "batch": NO_PROJECT | limits}
    return make(limits={"base": "documented", **both})


def test_a_user_is_throttled_beyond_the_averaged_rate(make: Make) -> None:
    project = limited(make)
    assert project.upload(*[EVENT] * 900)["code"] == 200  # 30 a second over 30 seconds
    other = {"user_id": "user-2", "event_type": "probe"}
    assert project.upload(other, EVENT) == {
        "code": 429,
        "error": "Too many requests for some devices and users",
        "eps_threshold": 30,
        "throttled_devices": {},
        "throttled_users": {"user-1": 31},
        "throttled_events": [1],
    }
    assert project.upload(other)["code"] == 200
    project.move(seconds=30)
    assert project.upload(EVENT)["code"] == 200


def test_a_refused_upload_is_not_counted_nor_stored(make: Make) -> None:
    project = limited(make, user_events_per_s=1, window_s=1)
    project.upload(EVENT)
    assert project.upload(EVENT)["code"] == 429
    project.move(seconds=1)
    assert project.upload(EVENT)["code"] == 200
    assert project.count(m="totals") == 2


def test_a_device_is_throttled_too(make: Make) -> None:
    project = limited(make, user_events_per_s=1, window_s=1)
    device = {"device_id": "device-1", "event_type": "probe"}
    answer = project.upload(device, device, path="/batch")
    assert answer["throttled_devices"] == {"device-1": 2}
    assert answer["throttled_users"] == {}
    assert answer["throttled_events"] == [0, 1]
    assert answer["exceeded_daily_quota_devices"] == {}


def test_the_daily_quota_of_httpapi(make: Make) -> None:
    project = limited(make, user_events_per_day=2)
    project.upload(EVENT, EVENT)
    answer = project.upload(EVENT)
    assert answer["code"] == 429
    assert answer["exceeded_daily_quota_users"] == {"user-1": 3}
    project.move(hours=23, minutes=59)
    assert project.upload(EVENT)["code"] == 429
    project.move(hours=1)
    assert project.upload(EVENT)["code"] == 200


def test_the_daily_quota_of_batch_counts_only_once_an_id_was_too_fast(make: Make) -> None:
    project = limited(make, user_events_per_day=2, user_events_per_s=3, window_s=1)

    def upload(count: int) -> Any:
        project.move(seconds=1)
        return project.upload(*[EVENT] * count, path="/batch")

    assert upload(3)["code"] == 200
    assert upload(4)["throttled_users"] == {"user-1": 4}
    assert upload(2)["code"] == 200
    assert upload(1)["exceeded_daily_quota_users"] == {"user-1": 3}


@pytest.mark.parametrize("limits", [{"project_requests_per_s": 2}, {"project_events_per_s": 2}])
def test_the_project_has_a_ceiling_that_names_nobody(make: Make, limits: Any) -> None:
    project = make(limits={"base": "documented", "httpapi": limits})
    codes = [project.user(f"user-{number}")["code"] for number in range(4)]
    assert codes == [200, 200, 429, 429]
    answer = project.user("user-5")
    assert (answer["throttled_users"], answer["throttled_events"]) == ({}, [])
    assert project.upload(EVENT, path="/batch")["code"] == 200  # counted per endpoint
    project.move(seconds=1)
    assert project.user("user-6")["code"] == 200


def test_the_documented_limits(make: Make) -> None:
    project = make(limits="documented")
    codes = [project.user(f"user-{number}")["code"] for number in range(101)]
    assert codes == [200] * 100 + [429]
    project.move(seconds=1)
    events = [{"user_id": f"user-{number}", "event_type": "probe"} for number in range(1001)]
    assert project.upload(*events)["code"] == 429
    assert project.upload(*events[1:])["code"] == 200


def test_batch_takes_a_thousand_a_second(make: Make) -> None:
    project = limited(make)
    for _ in range(15):
        assert project.upload(*[EVENT] * 2000, path="/batch")["code"] == 200
    answer = project.upload(EVENT, path="/batch")
    assert (answer["code"], answer["eps_threshold"]) == (429, 1000)
    assert answer["throttled_users"] == {"user-1": 1001}


def test_the_documented_numbers(make: Make) -> None:
    """Those that would take long to reach, as the pages on limits have them."""
    config = make(limits="documented").emulator.config
    assert (config.httpapi.user_events_per_day, config.batch.user_events_per_day) == (500_000,) * 2
    assert config.batch.project_events_per_s == 100_000
    assert config.batch.project_requests_per_s is None
    assert config.queries.cost_per_hour == 108_000
    assert (config.queries.user_concurrent, config.queries.deletion_concurrent) == (10, 8)
    taxonomy = config.taxonomy
    assert (taxonomy.event_types, taxonomy.event_properties, taxonomy.user_properties) == (
        2000,
        2000,
        1000,
    )


def test_user_properties_are_lost_where_they_change_too_often(make: Make) -> None:
    limits = {"base": "documented", "httpapi": {"user_property_updates_per_hour": 2}}
    project = make(limits=limits, cache="off")
    by = [{"type": "user", "value": "gp:n"}]
    for number in range(3):
        assert project.user("user-1", user_properties={"n": number})["code"] == 200
    assert project.groups(m="totals", group_by=by) == {"0": 1, "1": 2}
    project.user("user-2", user_properties={"n": "other"})
    project.move(minutes=59)
    project.user("user-1", user_properties={"n": 4})
    assert project.groups(m="totals", group_by=by) == {"0": 1, "1": 3, "other": 1}
    project.move(minutes=1)
    project.user("user-1", user_properties={"n": 5})
    assert project.groups(m="totals", group_by=by) == {"0": 1, "1": 3, "other": 1, "5": 1}


def test_1800_updates_of_user_properties_an_hour(make: Make) -> None:
    project = make(limits="documented", cache="off")
    for number in range(1801):
        project.move(seconds=0.05)
        assert project.user("user-1", user_properties={"n": number})["code"] == 200
    (label,) = project.groups(group_by=[{"type": "user", "value": "gp:n"}], limit=1)
    state = project.emulator.state()
    assert (state["events"], label) == (1801, "0")
    assert project.groups(m="totals", group_by=[{"type": "user", "value": "gp:n"}], limit=1) == {
        "1799": 2
    }


def test_off_means_off(project: Project) -> None:
    assert {project.upload(*[EVENT] * 2000)["code"] for _ in range(5)} == {200}
