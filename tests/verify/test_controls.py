"""What control users prove, and what they leave open."""

from __future__ import annotations

import pytest

from loadcheck.verify import Verdict
from loadcheck.verify.controls import (
    FRESH,
    MOST_FRESH,
    ControlResult,
    fresh_users,
    judge_controls,
)


def said(controlled: ControlResult) -> str:
    finding = judge_controls(controlled)
    assert finding is not None
    return finding.summary


def test_a_query_without_an_answer_is_no_zero() -> None:
    silent = ControlResult(acknowledged=3)
    assert "none of them is counted" not in said(silent)
    assert "no query for them was answered" in said(silent)
    assert (silent.overtaken, silent.none_visible) == (False, False)


def test_fresh_users_alone_leave_a_late_part_open_with_its_probability() -> None:
    found = ControlResult(acknowledged=3, visible=3, share=1 / 8, unpaired="nobody has a name")
    assert found.overtaken
    assert "p = 0.67" in said(found)
    assert "nobody has a name" in said(found)


@pytest.mark.parametrize(
    ("visible", "still", "overtaken", "proven", "verdict"),
    [
        (20, 20, True, 20, Verdict.PASS),
        (0, 20, False, 0, Verdict.UNKNOWN),
        (5, 20, False, 5, Verdict.PASS),
        (5, 16, False, 1, Verdict.PASS),  # four are counted by now: theirs may be four of the five
        (4, 16, False, 0, Verdict.UNKNOWN),
        (None, 20, False, 0, Verdict.UNKNOWN),
    ],
)
def test_who_has_a_second_event_counted_and_not_the_first_is_not_late(
    visible: int | None, still: int, overtaken: bool, proven: int, verdict: Verdict
) -> None:
    found = ControlResult(
        acknowledged=3,
        visible=3,
        paired=20,
        paired_visible=visible,
        still=still,
        checked=20,
        checked_visible=20,
    )
    assert (found.overtaken, found.proven) == (overtaken, proven)
    finding = judge_controls(found)
    assert finding is not None
    assert finding.verdict is verdict
    assert ControlResult.read(found.to_json()).to_json() == found.to_json()


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_few_fresh_users_are_enough_where_chance_decides_nothing(share: float) -> None:
    assert fresh_users(share) == FRESH


@pytest.mark.parametrize("share", [0.0100, 0.02, 0.125, 0.5, 0.9])
def test_as_many_fresh_users_as_exclude_a_late_part_of_the_size_that_is_missing(
    share: float,
) -> None:
    found = ControlResult(acknowledged=fresh_users(share), share=share)
    assert FRESH <= fresh_users(share) <= MOST_FRESH
    assert found.escaped < 0.05
    assert fresh_users(1e-6) == FRESH  # more than may be sent would be needed


def test_more_control_users_than_were_sent_are_no_evidence() -> None:
    found = ControlResult(acknowledged=5, visible=10, excess=5)
    assert said(found).startswith("Control users: 5 users more are counted than were sent")
    assert ControlResult.read(found.to_json()).excess == 5
