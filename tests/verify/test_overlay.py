"""The overlay written out: buckets, and further events of a copy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadcheck import scenario as scenarios
from loadcheck.scenario.model import Edit, Scenario
from loadcheck.verify import queries as marks

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"


def load(*overrides: str) -> Scenario:
    return scenarios.load(SCENARIOS / "smoke.toml", overrides=overrides)


def test_every_partition_has_a_place_of_its_own() -> None:
    scenario = load("verify.partitions=3")
    added = marks.overlay(scenario, "uploadEvents")[len(scenario.overlay) :]
    assert len({edit.at for edit in added}) == len(added)
    assert {edit.step for edit in added} == {"uploadEvents"}
    assert not any("{$partition}" in f"{edit.at}{edit.value}" for edit in added)


def test_without_naming_the_missing_nothing_is_added() -> None:
    scenario = load("verify.localize=false")
    assert marks.overlay(scenario, "uploadEvents") == scenario.overlay


def test_further_events_carry_what_the_first_carries() -> None:
    scenario = load("load.events_per_copy=3")
    places = [edit.at for edit in marks.overlay(scenario, "uploadEvents")]
    for first in (place for place in places if place.startswith("body#/events/0/")):
        for number in (1, 2):
            assert first.replace("/events/0/", f"/events/{number}/") in places
    assert not any(place.startswith("body#/events/3") for place in places)


def test_a_further_event_exists_before_anything_is_put_into_it() -> None:
    places = [edit.at for edit in marks.overlay(load("load.events_per_copy=2"), "uploadEvents")]
    (event,) = [place for place in places if place in ("body#/events/1", "body#/events/-")]
    beneath = [index for index, place in enumerate(places) if place.startswith(f"{event}/")]
    assert beneath
    assert places.index(event) < min(beneath)


@pytest.mark.parametrize(
    ("overrides", "number"),
    [
        ([], "1"),
        (["load.events_per_copy=3"], "3"),
        (["load.copies_per_request=5"], "$copy.events"),
        (["load.copies_per_request=5", "load.events_per_copy=2"], "$copy.events"),
    ],
)
def test_an_acknowledgement_is_of_all_events_that_were_sent(
    overrides: list[str], number: str
) -> None:
    condition = marks.acknowledged(load(*overrides))
    assert condition is not None
    assert condition.endswith(f"== {number}")


def test_no_condition_stays_none() -> None:
    scenario = scenarios.load(SCENARIOS / "influxdb.toml")
    assert scenario.verify.acknowledged is None
    assert marks.acknowledged(scenario) is None


def test_an_edit_is_filled_in_its_place_and_its_value() -> None:
    edit = Edit(step="a", at="query.{$partition}", value={"k": ["x-{$partition}", 1, None, True]})
    filled = marks.substitute_edit(edit, "{$partition}", "bucket1")
    assert filled == Edit(step="a", at="query.bucket1", value={"k": ["x-bucket1", 1, None, True]})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_what_has_no_placeholder_stays_as_it_is(value: Any) -> None:
    assert marks.substitute(value, "{$partition-that-is-nowhere}", "x") == value
