"""A record that travels in changes arrives as it is, whatever was recorded between them."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from loadcheck.measure import Histogram, Ledger
from loadcheck.measure.changes import (
    BrokenChangeError,
    change,
    changed,
    decode,
    digest,
    encode,
    moving,
    still,
)
from loadcheck.measure.recorded import bitmap
from tests.measure.test_merge import COPIES, Copy, record


@settings(max_examples=12, deadline=None)
@given(copies=COPIES, first=st.integers(0, 12), known=st.booleans())
def test_changes_one_after_the_other_come_to_the_same_record(
    copies: list[Copy], first: int, *, known: bool
) -> None:
    steps = [still(record(copies[:count], known=known, ends=False)) for count in (0, first)]
    steps.append(still(record(copies, known=known)))
    held = decode(encode(steps[0]))
    for before, after in itertools.pairwise(steps):
        held = changed(held, decode(encode(change(before, after))))
    whole = record(copies, known=known)
    assert moving(held) == whole
    assert digest(held) == digest(still(whole))


@pytest.mark.parametrize("old", [(), (1, 2, 3), Counter(a=1, b=2), [1], Histogram()])
@pytest.mark.parametrize("new", [(), (4,), (1, 2, 3, 4), Counter(b=3), [1, 2], None, Ledger()])
def test_what_is_there_instead_of_something_else_replaces_it(old: object, new: object) -> None:
    before, after = still((old, 1)), still((new, 1))
    assert digest(changed(before, decode(encode(change(before, after))))) == digest(after)


def test_what_has_not_changed_costs_nothing() -> None:
    tree = still(record([]))
    assert change(tree, still(record([]))) is None
    assert changed(tree, None) is tree


def test_a_tree_keeps_still_while_the_record_goes_on() -> None:
    made = record([])
    tree = still(made)
    made.start(7)
    assert moving(tree) == record([])
    assert digest(tree) != digest(still(made))


@pytest.mark.parametrize(
    "by", [("at", {99: ("is", 1)}), ("or", 3), ("what", 1), 7, ("end", (3, None)), ("add", 1)]
)
def test_a_change_of_something_else_is_refused(by: object) -> None:
    with pytest.raises(BrokenChangeError):
        changed((1, 2), by)


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\xc7\x01\x09x", encode((1, 2))[:-1]])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(BrokenChangeError):
        decode(data)


@given(st.sets(st.integers(0, 2**32 - 1)))
def test_a_set_made_of_an_array_holds_its_numbers(numbers: set[int]) -> None:
    assert bitmap(np.array(sorted(numbers), dtype=np.int64)) == BitMap(numbers)
