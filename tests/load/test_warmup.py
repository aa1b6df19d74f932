"""How many connections are opened ahead, and when."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from loadcheck.load.pacer import Warmup, warmups


@dataclass(frozen=True)
class Stage:
    duration_s: float
    rate: float
    end_rate: float


def test_ahead_of_the_load_and_of_a_stage_whose_rate_rises() -> None:
    stages = [Stage(4, 200, 200), Stage(8, 2500, 2500), Stage(4, 200, 200), Stage(1, 2600, 0)]
    assert warmups(stages, together=1, limit=2000) == [
        Warmup(at_s=0.0, connections=10),
        Warmup(at_s=4 - 0.5 - 0.125, connections=125),
        Warmup(at_s=16 - 0.5 - 0.13, connections=130),
    ]


def test_requests_of_several_copies_need_fewer() -> None:
    assert warmups([Stage(1, 2000, 2000)], together=10, limit=99)[0].connections == 10


@given(
    st.lists(st.tuples(st.floats(0.1, 100), st.floats(0, 1e5), st.floats(0, 1e5)), max_size=8),
    st.integers(1, 50),
    st.integers(1, 3000),
)
def test_they_grow_in_order_and_never_beyond_the_limit(
    parts: list[tuple[float, float, float]], together: int, limit: int
) -> None:
    found = warmups([Stage(*part) for part in parts], together=together, limit=limit)
    connections = [each.connections for each in found]
    assert connections == sorted(connections)
    assert all(0 < count <= limit for count in connections)
    assert all(each.at_s >= 0 for each in found)
