"""What a user is told when something is wrong, and what a caller may catch."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadcheck import errors
from loadcheck.errors import InputError, LoadcheckError, Problem, ScenarioError, did_you_mean


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem(message="is missing"), "is missing"),
        (Problem(message="is missing", file="a.toml"), "a.toml: is missing"),
        (Problem(message="is missing", file="a.toml", line=3), "a.toml:3: is missing"),
        (Problem(message="is missing", line=3), "is missing"),
        (Problem(message="is missing", key="load.rate"), "load.rate: is missing"),
        (
            Problem(message="is no step", file="w.yml", line=9, key="/steps/0", remedy="try x"),
            "w.yml:9: /steps/0: is no step; try x",
        ),
        (Problem(message="is bad", section="Arazzo 4.6.5"), "is bad [Arazzo 4.6.5]"),
        (Problem(message="is bad", remedy="mend it", section="4.6"), "is bad; mend it [4.6]"),
    ],
)
def test_a_problem_says_where_what_and_how_to_mend_it(problem: Problem, text: str) -> None:
    assert str(problem) == text


def test_every_problem_is_told_in_the_order_in_which_it_was_found() -> None:
    raised = ScenarioError(Problem(message=word) for word in ("first", "second", "third"))
    assert [problem.message for problem in raised.problems] == ["first", "second", "third"]
    assert str(raised) == "first\nsecond\nthird"


def test_one_problem_needs_no_list() -> None:
    only = Problem(message="only")
    assert InputError(only).problems == (only,)


def test_whatever_is_raised_on_purpose_has_one_root() -> None:
    own = [each for each in vars(errors).values() if isinstance(each, type)]
    for each in own:
        if issubclass(each, Exception):
            assert issubclass(each, LoadcheckError)
            assert each.__name__ in (errors.__doc__ or ""), "the tree at the top is whole"


def test_the_nearest_name_is_suggested() -> None:
    assert did_you_mean("max_in_fligth", ["rate", "max_in_flight"]) == (
        'did you mean "max_in_flight"?'
    )


def test_where_nothing_is_near_all_are_listed_in_order() -> None:
    assert did_you_mean("zzz", ["rate", "arrivals"]) == "expected one of arrivals, rate"
    assert did_you_mean("zzz", []) == ""


@given(st.text(), st.lists(st.text(min_size=1)))
def test_a_suggestion_is_always_a_valid_name(name: str, valid: list[str]) -> None:
    remedy = did_you_mean(name, valid)
    assert not valid or any(each in remedy for each in valid)
    if name in valid:
        assert remedy == f'did you mean "{name}"?'
