"""Days, hours and weeks, in the project's time zone."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from tests.emulator.conftest import Make, Project


def ms(text: str) -> int:
    return int(dt.datetime.fromisoformat(text).timestamp() * 1000)


def points(project: Project, **parameters: Any) -> dict[str, int]:
    """Where the chart is not zero."""
    data = project.chart(**parameters)["data"]
    found = zip(data["xValues"], data["series"][0], strict=True)
    return {label: value for label, value in found if value}


@pytest.fixture
def berlin(make: Make) -> Project:
    """Zone UTC+2 in June."""
    project = make(time_zone="Europe/Berlin")
    project.user("user-1", time=ms("2026-06-14T21:59:59+00:00"))
    project.user("user-2", time=ms("2026-06-14T22:00:00+00:00"))
    return project


def test_days_follow_the_projects_time_zone(berlin: Project) -> None:
    days = {"start": 20260613, "end": 20260616}
    assert points(berlin, **days) == {"2026-06-14": 1, "2026-06-15": 1}
    assert points(berlin, start=20260615, end=20260615) == {"2026-06-15": 1}


def test_hours_too(berlin: Project) -> None:
    found = points(berlin, start=20260614, end=20260615, i=-3600000)
    assert found == {"2026-06-14T23:00:00": 1, "2026-06-15T00:00:00": 1}


def test_the_last_day_ends_at_midnight(project: Project) -> None:
    project.user("user-1", time=ms("2026-06-15T23:59:59.999+00:00"))
    project.user("user-2", time=ms("2026-06-16T00:00:00+00:00"))
    assert points(project) == {"2026-06-15": 1}
    assert project.count() == 1
    assert points(project, start=20260616, end=20260616) == {"2026-06-16": 1}


def test_real_time(project: Project) -> None:
    project.user("user-1", time=ms("2026-06-15T10:14:59+00:00"))
    project.user("user-2", time=ms("2026-06-15T10:15:00+00:00"))
    assert points(project, i=-300000) == {"2026-06-15T10:10:00": 1, "2026-06-15T10:15:00": 1}


def test_weeks_begin_on_monday_and_months_on_the_first(project: Project) -> None:
    for day in ("2026-05-31", "2026-06-01", "2026-06-14", "2026-06-15"):
        project.user(f"user-{day}", time=ms(f"{day}T12:00:00+00:00"))
    days = {"start": 20260520, "end": 20260615}
    assert points(project, i=7, **days) == {
        "2026-05-25": 1,
        "2026-06-01": 1,
        "2026-06-08": 1,
        "2026-06-15": 1,
    }
    assert points(project, i=30, **days) == {"2026-05-01": 1, "2026-06-01": 3}
    # only what lies within the days asked for
    assert points(project, i=30, start=20260602, end=20260614) == {"2026-06-01": 1}


def test_a_day_on_which_clocks_change_has_25_hours(make: Make) -> None:
    project = make(time_zone="Europe/Berlin")
    labels = project.chart(start=20251026, end=20251026, i=-3600000)["data"]["xValues"]
    assert len(labels) == 25


@pytest.mark.parametrize(
    ("interval", "longest"), [(-300000, 2), (-3600000, 7), (1, 365), (7, 364), (30, 1116)]
)
def test_windows(project: Project, make: Make, interval: int, longest: int) -> None:
    end = dt.date(2026, 6, 15)

    def start(days: int) -> str:
        return f"{end - dt.timedelta(days=days - 1):%Y%m%d}"

    days = {"end": 20260615, "i": interval}
    assert "data" in project.chart(start=start(longest), **days)
    refused = project.chart(start=start(longest + 1), **days)
    assert refused["error"]["http_code"] == 400
    free = make(limits={"base": "off", "queries": {"max_intervals": False}})
    assert "data" in free.chart(start=start(longest + 1), **days)
    for_ever = free.chart(start="19700101", end="99981231", i=interval)
    assert "more than 100,000 intervals" in for_ever["error"]["metadata"]["details"]
