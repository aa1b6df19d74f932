"""Splitting by properties, and what is pruned."""

from __future__ import annotations

import pytest

from tests.emulator.conftest import Project


def by(*names: str, kind: str = "event") -> list[dict[str, str]]:
    return [{"type": kind, "value": name} for name in names]


def test_by_an_event_property(project: Project) -> None:
    for number, plan in enumerate(["free", "free", "paid"]):
        project.user(f"user-{number}", event_properties={"plan": plan})
    project.user("user-9")
    body = project.chart(group_by=by("plan"))["data"]
    assert body["seriesLabels"] == [[0, "free"], [0, "(none)"], [0, "paid"]]
    assert body["series"] == [[2], [1], [1]]
    assert body["seriesCollapsed"] == [[{"setId": "", "value": n}] for n in (2, 1, 1)]


def test_values_keep_their_label_whatever_their_type(project: Project) -> None:
    for number, value in enumerate([1, 1.0, "1", True, "true", None, {"a": 1}]):
        project.user(f"user-{number}", event_properties={"v": value})
    assert project.groups(group_by=by("v")) == {
        "1": 2,
        "1.0": 1,
        "true": 2,
        "(none)": 1,
        '{"a":1}': 1,
    }


def test_a_list_counts_for_each_of_its_elements(project: Project) -> None:
    project.user("user-1", event_properties={"tags": ["a", "b", "a"], "x": 1})
    project.user("user-2", event_properties={"tags": ["b"], "x": 2})
    project.user("user-3", event_properties={"tags": [], "x": 2})
    assert project.groups(group_by=by("tags")) == {"a": 1, "b": 2, "(none)": 1}
    assert project.groups(group_by=by("tags", "x")) == {
        "a; 1": 1,
        "b; 1": 1,
        "b; 2": 1,
        "(none); 2": 1,
    }


def test_by_user_properties(project: Project) -> None:
    project.user("user-1", user_properties={"$set": {"team": "red"}}, country="Chile")
    project.user("user-2", user_properties={"team": "blue"}, country="Chile")
    assert project.groups(g="gp:team") == {"red": 1, "blue": 1}
    assert project.groups(g="country") == {"Chile": 2}
    assert project.groups(g="gp:team", g2="country") == {"red; Chile": 1, "blue; Chile": 1}
    assert project.groups(group_by=by("gp:team", kind="user")) == {"red": 1, "blue": 1}


def test_the_smallest_groups_are_pruned(project: Project) -> None:
    for number in range(150):
        bucket = 0 if number < 30 else number
        project.user(f"user-{number:03}", event_properties={"bucket": bucket})
    body = project.chart(group_by=by("bucket"))
    assert body["prunedResult"] is True
    assert len(body["data"]["series"]) == 100
    assert body["data"]["seriesLabels"][0] == [0, "0"]
    assert len(project.groups(group_by=by("bucket"), limit=1000)) == 121
    assert project.chart(group_by=by("bucket"), limit=1000)["prunedResult"] is False
    assert project.groups(group_by=by("bucket"), limit=1) == {"0": 30}


@pytest.mark.parametrize("metric", ["uniques", "totals", "average", "pct_dau"])
def test_pruning_changes_nothing_of_what_is_left(project: Project, metric: str) -> None:
    hour = 3_600_000
    for number in range(12):
        for times in range(number % 5 + 1):
            project.user(
                f"user-{number % 7}",
                event_properties={"p": f"v{number % 4}"},
                time=project.now_ms - times * hour,
            )
    asked = {"m": metric, "i": -hour, "group_by": [{"type": "event", "value": "p"}]}
    whole, some = project.chart(**asked)["data"], project.chart(**asked, limit=2)["data"]
    assert len(whole["series"]) == 4
    for name in ("series", "seriesLabels", "seriesCollapsed"):
        assert some[name] == whole[name][:2]


def test_groups_of_users_seen_in_several(project: Project) -> None:
    for value in ("a", "b"):
        project.user("user-1", event_properties={"v": value})
    assert project.groups(group_by=by("v")) == {"a": 1, "b": 1}
    assert project.count() == 1


def test_grouping_by_nothing_that_came_is_no_group(project: Project) -> None:
    assert project.groups("nothing", group_by=by("v")) == {}
