from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from loadcheck.verify.localize import Window, windows


def test_scattered_losses_are_no_outage() -> None:
    random = np.random.default_rng(1)
    for losses in (1, 37, 200):
        missing = np.bincount(random.integers(0, 900, losses), minlength=900)
        assert windows(missing, np.full(900, 1112)) == ()


def test_an_outage_is_found_to_the_bucket() -> None:
    missing = np.zeros(900, dtype=np.int64)
    missing[[10, 700]] = 1
    missing[300:390] = 1112
    missing[300], missing[389] = 400, 17
    (window,) = windows(missing, np.full(900, 1112))
    assert (window.first, window.last) == (300, 389)
    assert window.lost == 88 * 1112 + 417
    assert window.sent == 90 * 1112


def test_a_share_that_is_lost_everywhere_is_one_window() -> None:
    missing = np.full(900, 111)
    assert windows(missing, np.full(900, 1112)) == (
        Window(first=0, last=899, lost=99_900, sent=1_000_800),
    )


def test_an_outage_of_a_few_copies_in_a_small_run() -> None:
    missing = np.zeros(200, dtype=np.int64)
    missing[50:60] = 1
    (window,) = windows(missing, np.ones(200, dtype=np.int64))
    assert (window.first, window.last, window.lost) == (50, 59, 10)


@given(st.lists(st.integers(0, 6), max_size=60))
def test_windows_hold_missing_users_only_and_never_overlap(missing: list[int]) -> None:
    found = windows(np.array(missing, dtype=np.int64), np.full(len(missing), 6))
    end = -1
    for window in found:
        assert window.first > end
        end = window.last
        stretch = missing[window.first : window.last + 1]
        assert min(stretch) > 0
        assert sum(stretch) == window.lost >= 5
