"""What workers come to is what one process would have recorded: the real runner, virtual time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadcheck.load.pacer import OpenPacer
from tests.load.stages import stage
from tests.pipeline.shards.alike import CASES, Case, differences

RATE = st.integers(1, 25).map(float)
STAGES = st.one_of(
    RATE.map(lambda rate: (stage(2, rate, rate),)),
    st.lists(st.builds(stage, st.sampled_from([0.4, 1.0]), RATE, RATE), min_size=2, max_size=3).map(
        tuple
    ),
)
LOADS = st.builds(
    Case,
    pacer=st.builds(
        OpenPacer,
        stages=STAGES,
        arrivals=st.sampled_from(["constant", "poisson"]),
        seed=st.integers(0, 2**32 - 1),
    ),
    together=st.sampled_from([1, 1, 3, 10]),
    seed=st.integers(0, 2**32 - 1),
)


@settings(max_examples=4)
@given(case=LOADS, of=st.sampled_from([1, 2, 3, 8]))
def test_several_workers_record_what_one_process_does(case: Case, of: int) -> None:
    alone, _ = case.sent()
    assert not differences(case.merged(of), alone)


@pytest.mark.long
@pytest.mark.timeout(240)
@settings(max_examples=15)
@given(case=LOADS)
def test_any_number_of_workers_records_what_one_process_does(case: Case) -> None:
    alone, _ = case.sent()
    for of in (1, 2, 3, 8):
        assert not differences(case.merged(of), alone), of


@pytest.mark.long
@pytest.mark.parametrize("kind", CASES)
def test_of_each_kind_of_load_workers_record_what_one_process_does(kind: str) -> None:
    alone, _ = CASES[kind].sent()
    for of in (1, 2, 3, 8):
        assert not differences(CASES[kind].merged(of), alone), of


def test_what_differs_is_found() -> None:
    one = Case(pacer=OpenPacer(stages=(stage(2, 20, 20),)), seed=1)
    other = Case(pacer=OpenPacer(stages=(stage(2, 20, 20),)), seed=2)
    found = differences(one.merged(2), other.sent()[0])
    assert {"ledger", "response_time", "percentiles of response_time"} <= set(found)
