from __future__ import annotations

import pytest

from loadcheck.verify import Verdict, worst

PASS, FAIL, UNKNOWN = Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([], UNKNOWN),
        ([PASS], PASS),
        ([PASS, UNKNOWN], UNKNOWN),
        ([UNKNOWN, FAIL, PASS], FAIL),
        ([FAIL, UNKNOWN], FAIL),
    ],
)
def test_the_worst_wins_and_nothing_is_unknown(verdicts: list[Verdict], expected: Verdict) -> None:
    assert worst(verdicts) is expected
