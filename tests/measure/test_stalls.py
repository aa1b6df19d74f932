from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from loadcheck.measure.timeline import PAUSE_NS, Stalls

STRETCHES = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 60)).map(sorted).map(tuple), max_size=12
)


def lost(stalls: Stalls, begin: int, end: int) -> int:
    found = stalls.within(np.array([begin]), np.array([end]))
    return 0 if found is None else int(found[0])


@given(STRETCHES, st.integers(0, 70), st.integers(0, 70))
def test_the_time_lost_is_that_of_the_union_of_all_stalls(
    stretches: list[tuple[int, int]], one: int, other: int
) -> None:
    stalls = Stalls()
    moments: set[int] = set()
    # each is told when it has ended, by whoever noticed it
    for begin, end in sorted(stretches, key=lambda stretch: stretch[1]):
        stalls.add(begin, end)
        moments |= set(range(begin, end))
    begin, end = sorted((one, other))
    assert lost(stalls, begin, end) == len(moments & set(range(begin, end)))


@given(STRETCHES, st.lists(st.tuples(st.integers(0, 70), st.integers(0, 70)), min_size=1))
def test_many_latencies_lose_together_what_each_loses_alone(
    stretches: list[tuple[int, int]], latencies: list[tuple[int, int]]
) -> None:
    stalls = Stalls()
    for begin, end in sorted(stretches, key=lambda stretch: stretch[1]):
        stalls.add(begin, end)
    spans = [sorted(latency) for latency in latencies]
    begins, ends = np.array(spans, dtype=np.int64).T
    found = stalls.within(begins, ends)
    alone = [lost(stalls, begin, end) for begin, end in spans]
    assert (found is None) is not any(alone)
    if found is not None:
        assert found.tolist() == alone


def test_long_stalls_are_pauses_and_told_once() -> None:
    stalls = Stalls()
    stalls.add(50, 50 + PAUSE_NS - 1)
    stalls.add(PAUSE_NS * 2, PAUSE_NS * 8)
    stalls.add(PAUSE_NS * 2 - 5, PAUSE_NS * 8 + 5)  # another saw the same
    stalls.suspended(PAUSE_NS * 9, 7)
    stalls.add(PAUSE_NS * 9 - 3, PAUSE_NS * 9 + 3)
    assert [(p.at_ns, p.length_ns, p.suspended) for p in stalls.pauses] == [
        (PAUSE_NS * 2 - 5, PAUSE_NS * 6 + 10, False),
        (PAUSE_NS * 9, 7, True),
    ]


def test_a_very_long_load_keeps_only_the_latest() -> None:
    stalls = Stalls()
    for number in range(100_000):
        stalls.add(10 * number, 10 * number + 1)
    assert lost(stalls, 999_900, 1_000_000) == 10
    assert len(stalls._edges) <= 1 << 16
