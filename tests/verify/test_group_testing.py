"""Peeling: sound for any counts that belong together, and strong enough to be of use."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadcheck.verify.group_testing import attribute, eliminate, least_lost, least_unexpected

Ints = npt.NDArray[np.int64]
NONE = np.empty(0, dtype=np.int64)


@st.composite
def worlds(draw: st.DrawFn, most: int = 40) -> tuple[list[Ints], list[Ints], set[int], set[int]]:
    """Return buckets of acknowledged and of other users, who is lost, who has landed."""
    known, maybe = draw(st.integers(0, most)), draw(st.integers(0, most // 3))
    partitions, width = draw(st.integers(1, 4)), draw(st.integers(1, 25))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    columns = [random.integers(0, width, known + maybe) for _ in range(partitions)]
    lost = draw(st.sets(st.integers(0, known - 1))) if known else set()
    landed = draw(st.sets(st.integers(0, maybe - 1))) if maybe else set()
    return [c[:known] for c in columns], [c[known:] for c in columns], lost, landed


def count(known: list[Ints], maybe: list[Ints], lost: set[int], landed: set[int]) -> list[Ints]:
    """Return what a service counts in each bucket."""
    observed = []
    for here, there in zip(known, maybe, strict=True):
        width = int(max(here.max(initial=0), there.max(initial=0))) + 1
        kept = [bucket for user, bucket in enumerate(here.tolist()) if user not in lost]
        kept += [bucket for user, bucket in enumerate(there.tolist()) if user in landed]
        observed.append(np.bincount(np.array(kept, dtype=np.int64), minlength=width))
    return observed


def sums(columns: list[Ints], observed: list[Ints]) -> list[Ints]:
    """Return how many users are in each bucket."""
    return [
        np.bincount(column, minlength=counts.size)
        for column, counts in zip(columns, observed, strict=True)
    ]


@given(worlds())
@settings(max_examples=150)
def test_7_nobody_is_named_who_could_be_innocent(
    world: tuple[list[Ints], list[Ints], set[int], set[int]],
) -> None:
    known, maybe, lost, landed = world
    observed = count(known, maybe, lost, landed)
    found = eliminate(known, maybe, observed)
    assert found is not None
    named, suspects = set(found.lost.tolist()), set(found.suspects.tolist())
    assert named <= lost <= named | suspects
    counted, open_ = set(found.landed.tolist()), set(found.open.tolist())
    assert counted <= landed <= counted | open_
    assert found.lost_at_least <= len(lost) <= found.lost_at_most
    assert least_lost(sums(known, observed), observed) <= len(lost)
    assert least_unexpected(sums(known, observed), sums(maybe, observed), observed) == 0
    if found.exact:
        assert found.lost_at_least == found.lost_at_most == len(lost)


@given(worlds(most=9))
@settings(max_examples=100)
def test_what_is_decided_holds_in_every_explanation(
    world: tuple[list[Ints], list[Ints], set[int], set[int]],
) -> None:
    known, maybe, lost, landed = world
    observed = count(known, maybe, lost, landed)
    found = eliminate(known, maybe, observed)
    assert found is not None
    sizes = known[0].size, maybe[0].size
    explanations = []
    for bits in itertools.product([False, True], repeat=sum(sizes)):
        gone = {user for user in range(sizes[0]) if bits[user]}
        here = {user for user in range(sizes[1]) if bits[sizes[0] + user]}
        seen = count(known, maybe, gone, here)
        if all(np.array_equal(a, b) for a, b in zip(seen, observed, strict=True)):
            explanations.append((gone, here))
    assert explanations
    named, counted = set(found.lost.tolist()), set(found.landed.tolist())
    free = set(range(sizes[0])) - named - set(found.suspects.tolist())
    for gone, here in explanations:
        assert named <= gone
        assert not free & gone
        assert counted <= here
        assert found.lost_at_least <= len(gone) <= found.lost_at_most


@given(worlds(), st.integers(1, 5))
def test_users_who_were_never_sent_are_noticed_or_cancel_out(
    world: tuple[list[Ints], list[Ints], set[int], set[int]], phantoms: int
) -> None:
    known, maybe, lost, landed = world
    observed = count(known, maybe, lost, landed)
    for counts in observed:
        counts[0] += phantoms
    assert least_unexpected(sums(known, observed), sums(maybe, observed), observed) <= phantoms
    assert least_lost(sums(known, observed), observed) <= len(lost)


@given(
    st.integers(1, 60),
    st.integers(1, 4),
    st.integers(1, 30),
    st.dictionaries(st.integers(0, 59), st.integers(1, 4), max_size=8),
    st.integers(0, 2**32),
)
@settings(max_examples=120)
def test_surplus_events_are_given_to_those_who_have_them(
    users: int, partitions: int, width: int, surplus: dict[int, int], seed: int
) -> None:
    random = np.random.default_rng(seed)
    columns = [random.integers(0, width, users) for _ in range(partitions)]
    truth = {user: events for user, events in surplus.items() if user < users}
    extra = []
    for column in columns:
        counts = np.zeros(width, dtype=np.int64)
        for user, events in truth.items():
            counts[column[user]] += events
        extra.append(counts)
    found = attribute(columns, extra)
    assert found is not None
    named = dict(zip(found.users.tolist(), found.events.tolist(), strict=True))
    assert named.items() <= truth.items()
    assert sum(named.values()) + found.unnamed == sum(truth.values())
    assert truth.keys() <= named.keys() | set(found.suspects.tolist())


def test_counts_that_nobody_can_explain_decide_nothing() -> None:
    assert eliminate([np.array([0, 0, 1])], [NONE], [np.array([3, 1])]) is None
    assert eliminate([np.array([0])], [NONE], [np.array([0, 1])]) is None
    assert attribute([np.array([0])], [np.array([0, 2])]) is None
    assert attribute([np.array([0])], [np.array([-1])]) is None


def test_one_partition_names_those_whose_whole_bucket_is_empty() -> None:
    found = eliminate([np.array([0, 0, 1, 1])], [NONE], [np.array([0, 1])])
    assert found is not None
    assert found.lost.tolist() == [0, 1]
    assert found.suspects.tolist() == [2, 3]
    assert (found.lost_at_least, found.lost_at_most, found.exact) == (3, 3, False)


@pytest.mark.parametrize(("lost", "partitions"), [(10, 3), (50, 3), (200, 4)])
def test_a_hundred_thousand_users_are_decided_as_simulated(lost: int, partitions: int) -> None:
    random = np.random.default_rng(lost)
    columns = [random.integers(0, 990, 100_000) for _ in range(partitions)]
    gone = random.choice(100_000, lost, replace=False)
    observed = [np.bincount(np.delete(column, gone), minlength=990) for column in columns]
    found = eliminate(columns, [NONE] * partitions, observed)
    assert found is not None
    assert found.lost.tolist() == sorted(gone.tolist())
    assert found.exact
