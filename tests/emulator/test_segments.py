"""``s``: who a chart is about."""

from __future__ import annotations

from typing import Any

import pytest

from tests.emulator.conftest import Project


@pytest.fixture
def teams(project: Project) -> Project:
    for number, team in enumerate(["red", "red", "blue"]):
        project.user(f"user-{number}", user_properties={"team": team})
        for _ in range(number):
            project.user(f"user-{number}", "click", event_properties={"kind": team})
    return project


def team(name: str) -> dict[str, Any]:
    return {"prop": "gp:team", "op": "is", "values": [name]}


def test_by_a_property(teams: Project) -> None:
    assert teams.count(s=[team("red")]) == 2
    assert teams.count(s=[{"prop": "gp:team", "op": "is not", "values": ["red"]}]) == 1


def test_several_segments(teams: Project) -> None:
    data = teams.chart(s=[[team("red")], [team("blue")]])["data"]
    assert data["series"] == [[2], [1]]
    assert [meta["segmentIndex"] for meta in data["seriesMeta"]] == [0, 1]


def test_beside_a_group_by_in_the_event_it_has_no_effect(teams: Project) -> None:
    by = [{"type": "user", "value": "gp:team"}]
    assert teams.groups(s=[team("red")], group_by=by) == {"red": 2, "blue": 1}
    kept = {"subprop_type": "user", "subprop_key": "gp:team", "subprop_op": "is"}
    assert teams.groups(filters=[kept | {"subprop_value": ["red"]}], group_by=by) == {"red": 2}
    assert teams.groups(s=[team("red")], g="gp:team") == {"red": 2}


@pytest.mark.parametrize(
    ("op", "times", "count"),
    [(">=", 1, 2), (">=", 2, 1), ("=", 1, 1), ("<", 1, 1), ("<=", 1, 2), (">", 1, 1), ("!=", 1, 2)],
)
def test_by_what_they_did(teams: Project, op: str, times: int, count: int) -> None:
    clause = {"type": "event", "event_type": "click", "filters": [], "op": op, "value": times}
    assert teams.count(s=[clause]) == count


def test_by_what_they_did_with_a_condition(teams: Project) -> None:
    kind = {"subprop_type": "event", "subprop_key": "kind", "subprop_op": "is"}
    clause = {
        "type": "event",
        "event_type": "click",
        "filters": [kind | {"subprop_value": ["red"]}],
        "op": ">=",
        "value": 1,
    }
    assert teams.count(s=[clause]) == 1
    assert teams.count(s=[clause, team("blue")]) == 0
