"""What control users prove, and what they leave open."""

from __future__ import annotations

import pytest

from loadcheck.verify import Verdict
from loadcheck.verify.controls import ControlResult, judge_controls


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
