"""Kills at instants that a seed has chosen; ``python -m tests.benchmarks.kills`` has many more."""

from __future__ import annotations

import pytest

from tests.cli import kills

pytestmark = [pytest.mark.long, pytest.mark.timeout(240)]


@pytest.mark.parametrize("after_s", kills.instants(4, seed=13))
def test_of_a_worker_that_is_killed_at_any_time_the_bounds_hold(after_s: float) -> None:
    kills.kill_shard(after_s)


@pytest.mark.parametrize("after_s", kills.instants(3, seed=14))
def test_of_a_run_that_is_killed_at_any_time_the_bounds_hold(after_s: float) -> None:
    kills.kill_coordinator(after_s)


def test_a_stop_reaches_all_workers_before_the_load_is_over() -> None:
    # how soon is measured by `python -m tests.benchmarks.kills stop`
    stopped = kills.stop(0.4)
    assert stopped.told_s is not None
    assert stopped.told_s < kills.LOAD_S * 5
