"""Buckets: pure functions of the run and the number, one copy at a time or a million at once."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadcheck.workflow.identity import (
    BUCKETS,
    NAMES,
    SEQUENCE,
    SEQUENCES,
    Buckets,
    bucket_writer,
    label,
    read_label,
    size,
)

RUNS = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=12, max_size=12)
NUMBERS = st.integers(0, 2**40)


@given(RUNS, NUMBERS, st.sampled_from(NAMES), st.none() | st.integers(1, 10**9))
def test_one_copy_and_many_get_the_same_bucket(
    run_id: str, number: int, name: str, copies: int | None
) -> None:
    buckets = Buckets(run_id=run_id, copies=copies)
    alone = buckets.bucket(number, name)
    assert 0 <= alone < size(name)
    assert buckets.column(np.array([number]), name).tolist() == [alone]
    assert read_label(name, label(name, alone)) == alone


@given(st.none() | st.integers(1, 10**7), st.lists(NUMBERS, min_size=2))
def test_buckets_in_send_order_are_in_send_order(copies: int | None, numbers: list[int]) -> None:
    buckets = Buckets(run_id="r", copies=copies)
    column = buckets.column(np.array(sorted(numbers)), SEQUENCE)
    assert np.all(np.diff(column) >= 0)


@pytest.mark.parametrize("copies", [None, 1, 899, 900, 901, 21_600, 1_000_000])
def test_a_bucket_in_send_order_begins_where_it_says(copies: int | None) -> None:
    buckets = Buckets(run_id="r", copies=copies)
    last = buckets.sequence((copies or 1_000_000) - 1)
    assert last < SEQUENCES
    for bucket in range(last + 1):
        first = buckets.first(bucket)
        assert buckets.sequence(first) == bucket
        assert first == 0 or buckets.sequence(first - 1) == bucket - 1


def test_the_partitions_are_even_and_independent() -> None:
    numbers = np.arange(200_000)
    buckets = Buckets(run_id="abcdefgh1234", copies=200_000)
    columns = [buckets.column(numbers, name) for name in NAMES[1:8]]
    for column in columns:
        counts = np.bincount(column, minlength=BUCKETS)
        # chi-squared with 989 degrees of freedom: mean 989, standard deviation 44
        expected = numbers.size / BUCKETS
        assert abs(((counts - expected) ** 2 / expected).sum() - 989) < 250
    for left, right in itertools.pairwise(columns):
        assert abs(np.corrcoef(left, right)[0, 1]) < 0.02
        assert np.unique(left * BUCKETS + right).size > 0.88 * numbers.size
    other = Buckets(run_id="abcdefgh1235", copies=200_000)
    assert np.mean(other.column(numbers, "bucket1") == columns[0]) < 0.005


@pytest.mark.parametrize("text", ["", "b", "b-1", "b990", "b01", "s1", "b1 ", "b\u0661", "bx"])
def test_what_is_no_label_is_refused(text: str) -> None:
    assert read_label("bucket1", text) is None


@given(st.sets(st.sampled_from(NAMES), min_size=1), NUMBERS)
def test_a_frame_is_filled_with_what_is_needed(names: set[str], number: int) -> None:
    buckets = Buckets(run_id="abcdefgh1234", copies=None)
    frame: list[int | None] = [number, *[None] * len(NAMES)]
    bucket_writer(buckets, names, 0, 1)(frame)
    for name in names:
        assert frame[1 + NAMES.index(name)] == buckets.bucket(number, name)
