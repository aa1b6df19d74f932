"""What several generators send is the whole load, each copy once, at its own instant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from loadcheck.load.pacer import OpenPacer, Warmup
from loadcheck.load.slices import Slice, SlicedPacer, share_of, too_few
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


@given(of=NUMBERS, together=TOGETHER, most=st.integers(1, 400), copies=st.integers(1, 400))
def test_what_is_divided_adds_up_and_a_share_of_nothing_is_refused(
    of: int, together: int, most: int, copies: int
) -> None:
    slices = [Slice(index=index, of=of, together=together) for index in range(of)]
    stage = model.Stage(name="a", duration_s=1.0, rate=9.0, end_rate=9.0)
    opened = model.OpenLoad(
        stages=(stage,), max_in_flight=most, arrivals="poisson", copies_per_request=together
    )
    closed = model.ClosedLoad(
        concurrency=most, copies=copies, duration_s=None, copies_per_request=together
    )
    opens = [each for each in _shares(opened, slices) if isinstance(each, model.OpenLoad)]
    in_flight = [each.max_in_flight for each in opens]
    # what is less than a request is of use to nobody
    assert sum(in_flight) == most // together * together
    assert all(share % together == 0 for share in in_flight)
    closes = [each for each in _shares(closed, slices) if isinstance(each, model.ClosedLoad)]
    concurrency, own = [each.concurrency for each in closes], [each.copies or 0 for each in closes]
    assert sum(concurrency) == most
    assert sum(own) == copies
    refused = {key for load in (opened, closed) for key, *_ in too_few(load, {}, of)}
    divided = {"max_in_flight": in_flight, "concurrency": concurrency, "copies": own}
    assert refused == {f"load.{key}" for key, shares in divided.items() if min(shares) == 0}


def _shares(
    load: model.OpenLoad | model.ClosedLoad, slices: list[Slice]
) -> list[model.OpenLoad | model.ClosedLoad]:
    return [share_of(load, each) for each in slices]


@given(of=NUMBERS, concurrency=st.integers(1, 60), rate=st.floats(0.01, 10_000))
def test_the_limits_of_a_step_are_those_of_the_whole(
    of: int, concurrency: int, rate: float
) -> None:
    limits = {"step": model.Limit(concurrency=concurrency, rate=rate)}
    parts = [Slice(index=index, of=of).limits(limits)["step"] for index in range(of)]
    assert sum(part.concurrency or 0 for part in parts) == concurrency
    none = any(part.concurrency == 0 for part in parts)
    closed = model.ClosedLoad(concurrency=of, copies=None, duration_s=1.0)
    assert [key for key, *_ in too_few(closed, limits, of)] == (
        ["limits.step.concurrency"] if none else []
    )
    # each asks at its own turn: together they ask at the instants of one that has the whole rate
    asked = sorted(part.phase_s + turn / (part.rate or 0) for part in parts for turn in range(4))
    assert np.allclose(asked, np.arange(4 * of) / rate, rtol=1e-9)


@given(of=NUMBERS, connections=st.integers(0, 500))
def test_connections_that_are_opened_ahead_are_divided(of: int, connections: int) -> None:
    whole = Warmup(at_s=1.0, connections=connections)
    parts = [Slice(index=index, of=of).warmup(whole) for index in range(of)]
    assert sum(part.connections for part in parts) == connections
    assert {part.at_s for part in parts} == {1.0}


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
