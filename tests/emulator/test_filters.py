"""Every operator, on properties present and absent."""

from __future__ import annotations

from typing import Any

import pytest

from tests.emulator.conftest import Project

VALUES: dict[str, Any] = {
    "text1": "Alpha",
    "text2": "alphabet",
    "one": 1,
    "ten": 10,
    "half": 0.5,
    "yes": True,
    "list": ["Alpha", "beta"],
    "null": None,
}
"""User → value of the property v; another user, "absent", has none."""


@pytest.fixture(scope="module")
def everybody(request: pytest.FixtureRequest) -> Project:
    from tests.emulator.conftest import Project  # noqa: PLC0415 - one project for the whole module

    del request
    project = Project()
    for name, value in VALUES.items():
        project.user(f"user-{name}", event_properties={"v": value})
    project.user("user-absent")
    return project


@pytest.mark.parametrize(
    ("op", "values", "found"),
    [
        ("is", ["Alpha"], "text1 list"),
        ("is", ["alpha"], ""),
        ("is", ["1"], "one"),
        ("is", [1], "one"),
        ("is", ["1.0"], ""),
        ("is", ["0.5", "10"], "half ten"),
        ("is", ["true"], "yes"),
        ("is", ["(none)"], "null absent"),
        ("is", [], ""),
        ("is not", ["Alpha"], "text2 one ten half yes null absent"),
        ("is not", ["(none)", "1"], "text1 text2 ten half yes list"),
        ("contains", ["ALPHA"], "text1 text2 list"),
        ("contains", ["bet"], "text2 list"),
        ("does not contain", ["alpha"], "one ten half yes null absent"),
        ("less", ["1"], "half"),
        ("less or equal", ["1"], "one half"),
        ("greater", ["1"], "ten"),
        ("greater or equal", ["1"], "one ten"),
        ("greater", ["a"], ""),
        ("set is", ["beta", "Alpha"], "list"),
        ("set is", ["Alpha"], "text1"),
        ("set is not", ["beta", "Alpha"], "text1 text2 one ten half yes null absent"),
    ],
)
def test_operators(everybody: Project, op: str, values: list[Any], found: str) -> None:
    condition = {"subprop_type": "event", "subprop_key": "v", "subprop_op": op}
    groups = everybody.groups(
        filters=[condition | {"subprop_value": values}],
        group_by=[{"type": "user", "value": "user_id"}],
    )
    assert set(groups) == {f"user-{name}" for name in found.split()}


def test_without_lists_is_takes_another_way_to_the_same_end(project: Project) -> None:
    for name, value in VALUES.items():
        if name != "list":
            project.user(f"user-{name}", event_properties={"v": value})
    project.user("user-absent")

    def count(op: str, *values: str) -> Any:
        condition = {"subprop_type": "event", "subprop_key": "v", "subprop_op": op}
        return project.count(filters=[condition | {"subprop_value": list(values)}])

    assert count("is", "Alpha", "1", "true", "0.5", "nobody") == 4
    assert count("is", "(none)") == 2
    assert count("is", "01") == 0
    assert count("is not", "Alpha") == 7
    assert count("is not", "(none)") == 6


def test_conditions_on_users(project: Project) -> None:
    project.user("user-1", user_properties={"team": "red"}, platform="Web", device_id="device-1")
    project.user("user-2", user_properties={"team": "blue"}, platform="iOS")
    for key, value in (
        ("gp:team", "red"),
        ("platform", "Web"),
        ("user_id", "user-1"),
        ("device_id", "device-1"),
    ):
        condition = {"subprop_type": "user", "subprop_key": key, "subprop_op": "is"}
        assert project.count(filters=[condition | {"subprop_value": [value]}]) == 1
        negated = condition | {"subprop_op": "is not", "subprop_value": [value]}
        assert project.count(filters=[negated]) == 1


def test_all_conditions_must_hold(project: Project) -> None:
    project.user("user-1", event_properties={"a": 1, "b": 1})
    project.user("user-2", event_properties={"a": 1, "b": 2})
    conditions = [
        {"subprop_type": "event", "subprop_key": key, "subprop_op": "is", "subprop_value": ["1"]}
        for key in ("a", "b")
    ]
    assert project.count(filters=conditions[:1]) == 2
    assert project.count(filters=conditions) == 1


def test_user_properties_are_those_of_the_time_of_the_event(project: Project) -> None:
    project.user("user-1", user_properties={"$set": {"team": "red"}, "$add": {"visits": 1}})
    project.user("user-1", "$identify", user_properties={"$set": {"team": "blue"}})
    project.user("user-1", user_properties={"$add": {"visits": 2}})
    assert project.groups(g="gp:team", m="totals") == {"red": 1, "blue": 1}
    assert project.groups(g="gp:visits", m="totals") == {"1": 1, "3": 1}
