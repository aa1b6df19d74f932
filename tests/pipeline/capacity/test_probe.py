from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from loadcheck.data import Sessions
from loadcheck.data.order import Spread
from loadcheck.errors import ScenarioError
from loadcheck.load.pacer import OpenPacer
from loadcheck.pipeline.capacity import _allowance, aim_of
from loadcheck.pipeline.capacity.judge import _limit
from loadcheck.pipeline.capacity.probe import probing
from loadcheck.scenario.model import Budget, Capacity, ClosedLoad, OpenLoad, Stage, Target
from loadcheck.verify.metrics import MetricNames
from loadcheck.verify.thresholds import parse_all
from tests.pipeline.capacity.test_virtual import scenario, shared


def stage(rate: float, end_rate: float) -> Stage:
    return Stage(name=f"from-{rate}", duration_s=1, rate=rate, end_rate=end_rate)


def test_a_probe_warms_up_and_is_then_measured_for_as_many_samples_as_wanted() -> None:
    common = shared(replace(scenario(), capacity=Capacity(samples=1000)))
    load = common.at(100).load
    assert isinstance(load, OpenLoad)
    assert [(s.name, s.duration_s, s.rate, s.end_rate) for s in load.stages] == [
        ("warm-up", 2, 100, 100),
        ("probe", 10, 100, 100),
    ]
    assert (common.load_s(100), common.events(100, 1)) == (12, 1200)
    assert (common.load_s(5000), common.events(5000, 1)) == (10, 50_000)


def test_random_arrivals_are_counted_before_they_come() -> None:
    given = scenario()
    assert isinstance(given.load, OpenLoad)
    common = shared(replace(given, load=replace(given.load, arrivals="poisson")))
    load = common.at(100).load
    assert isinstance(load, OpenLoad)
    for seed in range(5):
        pacer = OpenPacer(stages=load.stages, arrivals="poisson", seed=seed)
        assert common.events(100, seed) == sum(len(chunk) for chunk in pacer.chunks())


def test_without_a_warm_up_there_is_one_stage() -> None:
    load = shared(scenario(warmup_s=0.0)).at(100).load
    assert isinstance(load, OpenLoad)
    assert [s.name for s in load.stages] == ["probe"]


def test_the_document_of_a_probe_is_a_scenario_again() -> None:
    given = replace(
        scenario("send.p99 < 1s"),
        document={"seed": 3, "load": {"model": "open", "rate": 5, "max_in_flight": 7}},
    )
    assert shared(given).at(40).document == {
        "seed": 3,
        "load": {
            "model": "open",
            "max_in_flight": 7,
            "stages": [
                {"name": "warm-up", "duration": 2.0, "rate": 40},
                {"name": "probe", "duration": 8.0, "rate": 40},
            ],
        },
        "thresholds": [
            "probe: send.p99 < 1s",
            "probe: skipped == 0",
            "probe: error_rate <= 1%",
        ],
    }


def test_a_closed_load_is_opened() -> None:
    given = replace(scenario(), load=ClosedLoad(concurrency=5, copies=10, events_per_copy=3))
    thresholds, _ = parse_all(given.thresholds, MetricNames(steps=["send"]))
    common = probing(given, thresholds)
    load = common.at(100).load
    assert isinstance(load, OpenLoad)
    assert (load.events_per_copy, common.events(100, 1)) == (3, 3000)
    sessions = Sessions(uploads=Spread(first=4.0))
    again = replace(common, scenario=replace(common.scenario, sessions=sessions))
    assert again.events(100, 1) == 12_000
    assert aim_of(given).lowest == 100


def test_thresholds_of_the_whole_run_stay_what_they_are() -> None:
    common = shared(scenario("lost == 0", "visible.p95 < 1m", "retries < 5", "skipped < 3"))
    assert common.checks == (
        ("lost == 0", "lost == 0"),
        ("visible.p95 < 1m", "visible.p95 < 1m"),
        ("retries < 5", "retries < 5"),
        ("skipped < 3", "probe: skipped < 3"),
        ("error_rate <= 1%", "probe: error_rate <= 1%"),
    )


def test_what_speaks_of_the_scenarios_own_load_is_left_out() -> None:
    common = shared(
        scenario("steady: send.p99 < 1s", "rate >= 10/s", "started == 5", "send.succeeded > 3")
    )
    assert common.left_out == (
        "steady: send.p99 < 1s",
        "rate >= 10/s",
        "started == 5",
        "send.succeeded > 3",
    )


def test_an_error_rate_of_a_step_is_enough() -> None:
    common = shared(scenario("send.error_rate < 5%"))
    assert [check for check, _ in common.checks] == ["send.error_rate < 5%", "skipped == 0"]


def test_the_search_begins_with_the_lowest_rate_of_the_load() -> None:
    given = replace(scenario(), load=OpenLoad(stages=(stage(0, 300), stage(300, 20))))
    aim = aim_of(given)
    assert (aim.lowest, aim.highest, aim.precision, aim.probes) == (20, 1_000_000, 0.04, 12)
    assert aim_of(replace(given, capacity=Capacity(lowest=7, highest=90))).lowest == 7


def test_a_search_goes_up() -> None:
    with pytest.raises(ScenarioError, match=r"capacity.to: is not above 10, the lowest rate"):
        aim_of(replace(scenario(), capacity=Capacity(highest=10)))


def test_probes_of_a_live_service_share_its_query_budget() -> None:
    given = scenario()
    limited = replace(given, verify=replace(given.verify, budget=Budget(cost=1000, window_s=300)))
    assert _allowance(given) is None
    assert _allowance(replace(limited, target=Target(kind="emulator"))) is None
    allowance = _allowance(limited)
    assert allowance is not None
    assert allowance.wait_s(1000) == 0


@pytest.mark.parametrize(
    ("cpu_s", "lag_ms", "limit"),
    [
        ([9.9, 9.8, 9.9], [0, 0, 0], "generator"),
        ([9.9, 1.0, 9.9], [0, 300, 0], "generator"),
        ([9.9, 1.0, 1.0], [0, 0, 0], "worker"),
        ([1.0, 1.0, 1.0], [300, 0, 0], "worker"),
        # nobody of them says why: whatever it was, it was no answer of the target's
        ([1.0, 1.0, 1.0], [0, 0, None], "generator"),
        ([], [], "generator"),
    ],
)
def test_loadcheck_is_the_limit_when_all_of_its_workers_are(
    cpu_s: list[float], lag_ms: list[float | None], limit: str
) -> None:
    shards = [
        {"cpu_s": cpu, "watched_s": 10.0, "loop_lag_p99_ms": lag}
        for cpu, lag in zip(cpu_s, lag_ms, strict=True)
    ]
    run = {"workers": {"shards": shards}} if shards else {}
    finished: Any = SimpleNamespace(document={"run": run})
    assert _limit(finished) == limit
