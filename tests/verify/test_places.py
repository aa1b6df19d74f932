from __future__ import annotations

import numpy as np
from pyroaring import BitMap

from loadcheck.verify.localize import Localized, Window
from loadcheck.verify.naming import SendTimes, ranks_of_lost
from loadcheck.workflow.identity import Buckets

BUCKETS = Buckets(run_id="run", copies=9000)  # ten copies to a bucket in send order
ODD = BitMap(range(1, 9000, 2))
MOMENTS = SendTimes(due=[[9000]], began_at=None)


def test_nobody_is_missing() -> None:
    found = ranks_of_lost(Localized(), BUCKETS, ODD, MOMENTS)
    assert found is not None
    assert found.size == 0


def test_those_with_a_name_stand_where_they_were_acknowledged() -> None:
    found = ranks_of_lost(Localized(lost=(1, 5, 8999), lost_at_least=3), BUCKETS, ODD, MOMENTS)
    assert found is not None
    assert found.tolist() == [1, 3, 4500]


def test_a_window_is_spread_evenly_over_its_stretch() -> None:
    window = Window(first=2, last=5, lost=10, sent=20)
    found = ranks_of_lost(Localized(windows=(window,), lost_at_least=10), BUCKETS, ODD, MOMENTS)
    assert found is not None
    assert found.tolist() == list(range(11, 31, 2))


def test_a_window_at_the_very_beginning_that_lost_everybody() -> None:
    window = Window(first=0, last=1, lost=10, sent=10)
    found = ranks_of_lost(Localized(windows=(window,), lost_at_least=10), BUCKETS, ODD, MOMENTS)
    assert found is not None
    assert np.array_equal(found, np.arange(1, 11))


def test_if_some_are_nowhere_nothing_is_told() -> None:
    window = Window(first=2, last=5, lost=10, sent=20)
    assert (
        ranks_of_lost(Localized(windows=(window,), lost_at_least=11), BUCKETS, ODD, MOMENTS) is None
    )
    assert ranks_of_lost(Localized(lost=(1,), lost_at_least=2), BUCKETS, ODD, MOMENTS) is None


def test_of_two_generators_the_order_of_sending_counts_not_that_of_numbers() -> None:
    # the odd numbers are those of a generator that began when the other had ended
    moments = SendTimes(due=[[4500], [0, 4500]], began_at=None)
    found = ranks_of_lost(
        Localized(lost=(0, 1, 8998), lost_at_least=3), BUCKETS, BitMap(range(9000)), moments
    )
    assert found is not None
    assert found.tolist() == [1, 4500, 4501]
    window = Window(first=0, last=0, lost=2, sent=10)
    found = ranks_of_lost(
        Localized(windows=(window,), lost_at_least=2), BUCKETS, BitMap(range(9000)), moments
    )
    assert found is not None
    assert found.tolist() == [1, 4501]
