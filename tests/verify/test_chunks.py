"""Localizing a few copies at a time gives what it gives with all of them in arrays."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from loadcheck import measure
from loadcheck.verify import localize
from loadcheck.verify.group_testing import attribute, eliminate
from loadcheck.verify.localize import (
    SentCopies,
    bucket_sizes,
    build_localized,
    deduce_duplicated,
    deduce_lost,
)
from loadcheck.verify.naming import SendTimes
from loadcheck.verify.query_client import BucketCounts
from loadcheck.workflow.identity import Buckets, partitions, size

ROOT = Path(__file__).resolve().parents[2]

Ints = npt.NDArray[np.int64]
MOST = 3000
numbers = st.lists(st.integers(0, MOST - 1), unique=True, max_size=40)


def sent(rejected: list[int], indeterminate: list[int]) -> SentCopies:
    """Everybody else is acknowledged."""
    unclear = BitMap(indeterminate) - BitMap(rejected)
    return SentCopies(
        Buckets(run_id="a1b2c3d4e5f6", copies=MOST),
        acknowledged=BitMap(range(MOST)) - BitMap(rejected) - unclear,
        indeterminate=unclear,
        rejected=BitMap(rejected),
    )


def columns(copies: SentCopies, which: BitMap, names: tuple[str, ...]) -> list[Ints]:
    everybody = np.array(which.to_array(), dtype=np.int64)
    return [copies.buckets.column(everybody, name) for name in names]


@settings(max_examples=80, deadline=None)
@given(
    lost=numbers,
    indeterminate=numbers,
    landed=st.integers(0, 40),
    strangers=st.lists(st.integers(MOST, 2 * MOST), max_size=2),
    parts=st.integers(0, 3),
)
def test_in_chunks_the_same_follows_as_from_arrays_of_all(
    lost: list[int], indeterminate: list[int], landed: int, strangers: list[int], parts: int
) -> None:
    copies = sent([], indeterminate)
    counted = copies.acknowledged - BitMap(lost)
    counted |= BitMap(copies.indeterminate[:landed]) | BitMap(strangers)
    names = partitions(parts)
    everybody = np.array(counted.to_array(), dtype=np.int64)
    tallies = [
        BucketCounts(
            name=name,
            counts=np.bincount(copies.buckets.column(everybody, name), minlength=size(name)),
        )
        for name in names
    ]
    whole = eliminate(
        columns(copies, copies.acknowledged, names),
        columns(copies, copies.indeterminate, names),
        [tally.counts for tally in tallies],
    )
    with patch.object(measure, "_CHUNK", 7 * 64):
        found = deduce_lost(copies, tallies).elimination
    if found is None or whole is None:
        assert found is None
        assert whole is None
        return
    acknowledged, unclear = list(copies.acknowledged), list(copies.indeterminate)
    assert list(found.lost) == [acknowledged[place] for place in whole.lost]
    assert list(found.landed) == [unclear[place] for place in whole.landed]
    assert found.suspects == whole.suspects.size
    assert found.lost_at_least == whole.lost_at_least
    assert found.lost_at_most == whole.lost_at_most


@settings(max_examples=60, deadline=None)
@given(
    twice=st.dictionaries(st.integers(0, MOST - 1), st.integers(1, 3), max_size=30),
    parts=st.integers(0, 3),
)
def test_in_chunks_the_same_copies_are_duplicated(twice: dict[int, int], parts: int) -> None:
    copies = sent([3, 5], [7, 11])
    names = partitions(parts)
    everybody = np.arange(MOST)
    events = np.ones(MOST, dtype=np.int64)
    for number, more in twice.items():
        events[number] += more
    users, totals = [], []
    for name in names:
        column = copies.buckets.column(everybody, name)
        users.append(BucketCounts(name=name, counts=np.bincount(column, minlength=size(name))))
        counts = np.bincount(column, weights=events, minlength=size(name)).astype(np.int64)
        totals.append(BucketCounts(name=name, counts=counts))
    extra = [total.counts - one.counts for total, one in zip(totals, users, strict=True)]
    whole = attribute([copies.buckets.column(everybody, name) for name in names], extra)
    with patch.object(measure, "_CHUNK", 7 * 64):
        found = deduce_duplicated(copies, users, totals, ())
    assert whole is not None
    assert found is not None
    assert dict(found.events) == dict(zip(whole.users.tolist(), whole.events.tolist(), strict=True))
    assert (found.suspects, found.unnamed) == (whole.suspects.size, whole.unnamed)


def test_where_too_many_share_a_bucket_bounds_and_windows_remain() -> None:
    copies = sent([], [])
    gone = BitMap(range(0, MOST, 4))
    tallies = [tally(copies, copies.acknowledged - gone, name) for name in partitions(2)]
    named = deduce_lost(copies, tallies)
    with patch.object(localize, "_MOST_BYTES", 16 * 100):
        crowded = deduce_lost(copies, tallies)
    assert named.elimination is not None
    assert crowded.elimination is not None
    assert crowded.elimination.too_many
    assert not crowded.elimination.lost
    assert not crowded.done
    assert crowded.elimination.suspects >= named.elimination.suspects + len(named.elimination.lost)
    assert crowded.at_least <= len(gone) <= crowded.elimination.lost_at_most
    said = build_localized(copies, crowded, None)
    assert "windows and counts only" in said.trouble
    assert said.lost_at_least == crowded.at_least
    assert not said.exact


def tally(copies: SentCopies, counted: BitMap, name: str) -> BucketCounts:
    return BucketCounts(name=name, counts=bucket_sizes(copies.buckets, counted, name))


@settings(max_examples=60, deadline=None)
@given(
    due=st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=4), min_size=2, max_size=3),
    together=st.integers(1, 3),
    data=st.data(),
)
def test_in_chunks_places_are_those_of_everybody_sorted(
    due: list[list[int]], together: int, data: st.DataObject
) -> None:
    moments = SendTimes(due=due, began_at=None, copies_per_request=together)
    everybody = BitMap(data.draw(st.sets(st.integers(0, 60), min_size=1)))
    some = data.draw(st.sets(st.sampled_from(list(everybody))))
    ordered = sorted(everybody, key=lambda number: (moments.second(number), number))
    with patch.object(measure, "_CHUNK", 8):
        found = moments.ranks(everybody, np.array(sorted(some), dtype=np.int64))
    assert found.tolist() == [ordered.index(number) + 1 for number in sorted(some)]


def name_a_hundred_among_ten_million() -> None:
    """Print the most memory that it took, in bytes."""
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    users, losses = 10_000_000, 100
    buckets = Buckets(run_id="a1b2c3d4e5f6", copies=users)
    lost = BitMap(np.random.default_rng(1).choice(users, losses, replace=False).astype(np.uint32))
    copies = SentCopies(
        buckets, acknowledged=BitMap(range(users)), indeterminate=BitMap(), rejected=BitMap()
    )
    tallies: list[BucketCounts] = []
    for name in partitions(5):
        counts = copies.sizes("acknowledged", name) - bucket_sizes(buckets, lost, name)
        tallies.append(BucketCounts(name=name, counts=counts))
        if deduce_lost(copies, tallies).done:
            break
    deduction = deduce_lost(copies, tallies)
    found = build_localized(copies, deduction, None)
    assert set(found.lost) == set(lost), found
    assert found.groups.exact, found
    status = Path("/proc/self/status").read_text().split()
    # ru_maxrss would be the parent's
    sys.stdout.write(f"{int(status[status.index('VmHWM:') + 1]) * 1024}\n")


@pytest.mark.long
def test_ten_million_users_take_little_memory() -> None:
    code = f"from {__name__} import {name_a_hundred_among_ten_million.__name__} as run; run()"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert int(done.stdout) <= 300 << 20
