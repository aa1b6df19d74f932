"""How many connections are opened ahead, and when."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from loadcheck.load.pacer import Warmup, warmups
from loadcheck.scenario.model import OpenLoad, Stage
from tests.load.stages import stage


def load(stages: Sequence[Stage], together: int = 1, limit: int = 2000) -> OpenLoad:
    return OpenLoad(stages=tuple(stages), copies_per_request=together, max_in_flight=limit)


def test_ahead_of_the_load_and_of_a_stage_whose_rate_rises() -> None:
    stages = [stage(4, 200, 200), stage(8, 2500, 2500), stage(4, 200, 200), stage(1, 2600, 0)]
    assert warmups(load(stages)) == [
        Warmup(at_s=0.0, connections=10),
        Warmup(at_s=4 - 0.5 - 0.125, connections=125),
        Warmup(at_s=16 - 0.5 - 0.13, connections=130),
    ]


def test_requests_of_several_copies_need_fewer() -> None:
    assert warmups(load([stage(1, 2000, 2000)], together=10, limit=990))[0].connections == 10


@given(
    st.lists(st.tuples(st.floats(0.1, 100), st.floats(0, 1e5), st.floats(0, 1e5)), max_size=8),
    st.integers(1, 50),
    st.integers(1, 3000),
)
def test_they_grow_in_order_and_never_beyond_the_limit(
    parts: list[tuple[float, float, float]], together: int, limit: int
) -> None:
    found = warmups(load([stage(*part) for part in parts], together, limit))
    connections = [each.connections for each in found]
    assert connections == sorted(connections)
    assert all(0 < count <= -(-limit // together) for count in connections)
    assert all(each.at_s >= 0 for each in found)
