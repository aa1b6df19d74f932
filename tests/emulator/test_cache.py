"""The result cache: a 60-minute standstill, tested in milliseconds."""

from __future__ import annotations

from typing import Any

import pytest

from tests.emulator.conftest import Make


@pytest.mark.parametrize(
    ("parameters", "minutes"),
    [
        ({"i": -300000}, 5),
        ({"i": -3600000}, 5),
        ({"i": 1}, 60),
        ({"i": 1, "start": 20260608}, 6 * 60),
        ({"i": 1, "start": 20260501}, 18 * 60),
        ({"i": 7}, 6 * 60),
        ({"i": 7, "start": 20260501}, 48 * 60),
        ({"i": 30}, 18 * 60),
        ({"i": 30, "start": 20260501}, 96 * 60),
    ],
)
def test_results_are_served_again_for_the_documented_time(
    make: Make, parameters: dict[str, Any], minutes: int
) -> None:
    project = make(cache="documented")
    days = {"start": 20260615, "end": 20260615} | parameters
    assert project.count(**days) == 0
    project.user("user-1", time=project.now_ms)
    project.move(minutes=minutes, milliseconds=-1)
    body = project.chart(**days)
    assert body["wasCached"] is True
    assert body["millisSinceComputed"] == minutes * 60_000 - 1
    assert body["data"]["seriesCollapsed"][0][0]["value"] == 0
    project.move(milliseconds=1)
    body = project.chart(**days)
    assert (body["wasCached"], body["timeComputed"]) == (False, project.now_ms)
    assert body["data"]["seriesCollapsed"][0][0]["value"] == 1


def test_another_query_has_a_result_of_its_own(make: Make) -> None:
    project = make(cache="documented")
    project.count()
    project.user("user-1")
    assert project.count() == 0
    beside = {"subprop_type": "event", "subprop_key": "run", "subprop_op": "is not"}
    assert project.count(filters=[beside | {"subprop_value": ["cache-1"]}]) == 1


def test_it_comes_with_the_documented_limits_only(make: Make) -> None:
    for limits, cached in (("off", False), ("documented", True), ({"base": "documented"}, True)):
        project = make(limits=limits)
        project.chart()
        assert project.chart()["wasCached"] is cached
    assert make(limits="documented", cache="off").emulator.config.cache is False
