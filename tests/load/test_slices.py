"""What several generators send is the whole load, each copy once, at its own instant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from loadcheck.load.pacer import OpenPacer
from loadcheck.load.slices import Slice, SlicedPacer
from loadcheck.scenario import model


@dataclass(frozen=True)
class Stage:
    duration_s: float
    rate: float
    end_rate: float


RATES = st.one_of(st.just(0.0), st.floats(0.5, 2000), st.integers(1, 2000).map(float))
PACERS = st.builds(
    OpenPacer,
    stages=st.lists(
        st.builds(Stage, duration_s=st.floats(0.05, 3), rate=st.floats(0.5, 2000), end_rate=RATES),
        min_size=1,
        max_size=4,
    ).map(tuple),
    arrivals=st.sampled_from(["constant", "poisson"]),
    seed=st.integers(0, 2**32 - 1),
)
NUMBERS = st.integers(1, 24)
TOGETHER = st.integers(1, 30)


def instants(pacer: OpenPacer) -> np.ndarray:
    return np.concatenate([np.empty(0, dtype=np.int64), *pacer.chunks()])


@settings(max_examples=12)
@given(pacer=PACERS, of=NUMBERS, together=TOGETHER)
def test_the_slices_of_a_schedule_are_the_schedule_bit_for_bit(
    pacer: OpenPacer, of: int, together: int
) -> None:
    whole = instants(pacer)
    found = np.full(whole.size, -1, dtype=np.int64)
    for index in range(of):
        part = Slice(index=index, of=of, together=together)
        sliced = SlicedPacer.of(pacer, part)
        own = instants(sliced)
        numbers = part.numbers(np.arange(own.size, dtype=np.int64))
        assert (np.diff(numbers) > 0).all()
        assert (found[numbers] == -1).all()
        found[numbers] = own
        assert sliced.planned == own.size == part.count(whole.size)
    assert (found == whole).all()


@settings(max_examples=12)
@given(
    pacer=PACERS,
    of=NUMBERS,
    together=TOGETHER,
    shares=st.lists(st.floats(0, 1.1), min_size=1, max_size=4),
)
def test_what_is_due_by_an_instant_adds_up(
    pacer: OpenPacer, of: int, together: int, shares: list[float]
) -> None:
    slices = [
        SlicedPacer.of(pacer, Slice(index=index, of=of, together=together)) for index in range(of)
    ]
    for share in shares:
        at_s = share * pacer.duration_s
        assert sum(each.due_before(at_s) for each in slices) == pacer.due_before(at_s)
        assert np.isclose(sum(each.expected_at(at_s) for each in slices), pacer.expected_at(at_s))
        assert np.isclose(sum(each.rate_at(at_s) for each in slices), pacer.rate_at(at_s))
    assert np.isclose(sum(each.peak_rate for each in slices), pacer.peak_rate)


@given(of=NUMBERS, together=TOGETHER, total=st.integers(0, 5000))
def test_shares_add_up_in_copies_and_in_requests(of: int, together: int, total: int) -> None:
    slices = [Slice(index=index, of=of, together=together) for index in range(of)]
    assert sum(each.share(total) for each in slices) == total
    assert sum(each.count(total) for each in slices) == total
    shares = [each.share_of_copies(total) for each in slices]
    assert sum(shares) == total
    assert sum(-(-share // together) for share in shares) == -(-total // together)
    requests = [-(-share // together) for share in shares]
    assert max(requests) - min(requests) <= 1


@given(of=NUMBERS, together=TOGETHER, index=st.integers(0, 23), own=st.integers(0, 10**6))
def test_own_numbers_stand_for_numbers_of_the_run(
    of: int, together: int, index: int, own: int
) -> None:
    part = Slice(index=index % of, of=of, together=together)
    number = part.number(own)
    assert number // together % of == part.index
    assert part.count(number) == own
    assert part.count(number + 1) == own + 1
    assert part.numbers(np.array([own]))[0] == number


def test_a_load_that_ends_early_ends_so_in_all_its_parts() -> None:
    stage = model.Stage(name="a", duration_s=2.0, rate=100.0, end_rate=300.0)
    for together in (1, 10):
        for whole in (
            OpenPacer(stages=(stage,), arrivals="constant", most=123),
            OpenPacer(stages=(stage,), arrivals="poisson", seed=3, most=123),
        ):
            slices = [Slice(index=index, of=3, together=together) for index in range(3)]
            parts = [SlicedPacer.of(whole, each) for each in slices]
            due = np.concatenate([chunk for part in parts for chunk in part.chunks()])
            assert sum(part.planned for part in parts) == whole.planned == 123
            assert np.array_equal(np.sort(due), np.concatenate(list(whole.chunks())))
