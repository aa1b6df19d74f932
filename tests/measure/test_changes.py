"""A record that travels in changes arrives as it is, whatever was recorded between them."""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from collections.abc import Iterator, Mapping

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from loadcheck.measure import Ledger, bitmap
from loadcheck.measure.changes import (
    BrokenChangeError,
    change,
    change_by_parts,
    changed,
    decode,
    digest,
    encode,
    moving,
    still,
)
from loadcheck.measure.histogram import Histogram
from tests.measure.test_merge import COPIES, Copy, S, record


def by_parts(old: object, new: object) -> object:
    """Return a change as it is made while copies fall due."""
    work = change_by_parts(old, new)
    while True:
        try:
            next(work)
        except StopIteration as done:
            return done.value


@settings(max_examples=12, deadline=None)
@given(copies=COPIES, first=st.integers(0, 12), known=st.booleans())
def test_changes_one_after_the_other_come_to_the_same_record(
    copies: list[Copy], first: int, *, known: bool
) -> None:
    steps = [still(record(copies[:count], known=known, ends=False)) for count in (0, first)]
    steps.append(still(record(copies, known=known)))
    whole = record(copies, known=known)
    for changes in (change, by_parts):
        held = decode(encode(steps[0]))
        for before, after in itertools.pairwise(steps):
            held = changed(held, decode(encode(changes(before, after))))
        assert moving(held) == whole
        assert digest(held) == digest(still(whole))


@pytest.mark.parametrize("old", [(), (1, 2, 3), Counter(a=1, b=2), [1], Histogram()])
@pytest.mark.parametrize("new", [(), (4,), (1, 2, 3, 4), Counter(b=3), [1, 2], None, Ledger()])
def test_what_is_there_instead_of_something_else_replaces_it(old: object, new: object) -> None:
    before, after = still((old, 1)), still((new, 1))
    for changes in (change, by_parts):
        assert digest(changed(before, decode(encode(changes(before, after))))) == digest(after)


def test_a_change_is_made_in_parts_none_of_which_is_most_of_it() -> None:
    copies = [Copy(n, n * S // 100, n * 1000, n * n * 1000, 200, True) for n in range(250)]
    before, after = (still(record(copies[:count], known=True, ends=False)) for count in (90, 250))
    parts = [*change_by_parts(before, after)]
    assert len(parts) > 30
    made = by_parts(before, after)
    assert max(encoded_parts(made)) < len(encode(made)) / 4


def encoded_parts(made: object) -> Iterator[int]:
    """Yield how long each part of a change is that was encoded on its own."""
    if isinstance(made, msgpack.ExtType):
        yield len(made.data)
    elif isinstance(made, dict):
        for each in made.values():
            yield from encoded_parts(each)
    elif isinstance(made, tuple) and made[0] in ("at", "in"):
        yield from encoded_parts(made[1])


def test_what_has_not_changed_costs_nothing() -> None:
    tree = still(record([]))
    for changes in (change, by_parts):
        assert changes(tree, still(record([]))) is None
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


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"\xc1", b"\xc7\x01\x09x", encode((1, 2))[:-1]),
        *(msgpack.packb(msgpack.ExtType(3, held)) for held in (b"", b"\x09" * 9, b"\0\0\1\0\0\0")),
    ],
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(BrokenChangeError):
        decode(data)


COUNTS = st.dictionaries(st.integers(0, 2**21 - 1), st.integers(1, 2**62), max_size=40)


def sparse(counts: Mapping[int, int]) -> tuple[bytes, bytes]:
    places = sorted(counts)
    values = [counts[place] for place in places]
    return np.array(places, dtype="<u4").tobytes(), np.array(values, dtype="<u8").tobytes()


@given(begun=COUNTS, gained=COUNTS, further=st.booleans())
def test_counts_gain_what_was_counted(
    begun: dict[int, int], gained: dict[int, int], *, further: bool
) -> None:
    if further:  # intervals that are over stay as they are
        gained = {place + max(begun, default=0): count for place, count in gained.items()}
    sums = {place: begun.get(place, 0) + gained.get(place, 0) for place in {**begun, **gained}}
    before, after = sparse(begun), sparse(sums)
    how = change(before, after)
    assert changed(before, decode(encode(how))) == after
    assert how is None or how[0] == "add"
    # the other way round something is gone, which no gain can say
    back = change(after, before)
    assert changed(after, decode(encode(back))) == before
    assert back is None or back[0] == "is"


def test_a_second_costs_as_much_however_long_the_run_has_been_going_on() -> None:
    calls = []
    for seconds in (3, 300):
        made = record([])
        for second in range(seconds):
            made.close_second(second)
        found = 0

        def count(_frame: object, event: str, _what: object) -> None:
            nonlocal found
            found += event == "call"

        sys.setprofile(count)
        tree = still(made)
        sys.setprofile(None)
        calls.append(found)
        assert moving(tree) == made
    # none for each of the seconds that are over
    assert calls[1] < calls[0] + 100


def test_small_gains_travel_in_a_third_of_what_they_hold() -> None:
    gain = sparse({place: 1 + place % 7 for place in range(2000, 6000, 3)})
    assert decode(encode(gain)) == gain
    assert 3 * len(encode(gain)) < sum(map(len, gain))


@given(st.sets(st.integers(0, 2**32 - 1)))
def test_a_set_made_of_an_array_holds_its_numbers(numbers: set[int]) -> None:
    assert bitmap(np.array(sorted(numbers), dtype=np.int64)) == BitMap(numbers)
