from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadcheck.measure.histogram import HIGHEST_US, layout

micros = st.integers(min_value=0, max_value=HIGHEST_US)


@pytest.mark.parametrize("digits", [2, 3])
def test_buckets_lie_where_the_hdrhistogram_package_puts_them(digits: int) -> None:
    ours = layout(digits)
    theirs = ours.histogram()
    for place in {*range(0, ours.size, 89), ours.size - 1}:
        lowest = theirs.get_value_from_index(place)
        assert ours.lowest_us[place] == lowest
        assert ours.highest_us[place] == theirs.get_highest_equivalent_value(lowest)


@given(values=st.lists(micros, min_size=1), digits=st.sampled_from([2, 3]))
def test_a_value_lies_in_its_bucket(values: list[int], digits: int) -> None:
    ours, array = layout(digits), np.array(values, dtype=np.int64)
    places = ours.places(array)
    assert (ours.lowest_us[places] <= array).all()
    assert (array <= ours.highest_us[places]).all()


@given(values=st.lists(micros, min_size=1))
def test_fewer_digits_can_be_had_from_more(values: list[int]) -> None:
    array = np.array(values, dtype=np.int64)
    two, three = layout(2), layout(3)
    assert (three.coarser(two)[three.places(array)] == two.places(array)).all()
