"""Kills at instants that a seed has chosen; ``python -m tests.benchmarks.kills`` has many more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli import kills

pytestmark = [pytest.mark.long, pytest.mark.timeout(240), pytest.mark.stops_generator]


@pytest.fixture(scope="module")
def place() -> Iterator[kills.Lane]:
    with kills.lane() as made:
        yield made


@pytest.mark.parametrize("after_s", kills.instants(3, seed=13))
def test_of_a_worker_that_is_killed_at_any_time_the_bounds_hold(
    place: kills.Lane, after_s: float
) -> None:
    kills.kill_shard(place, after_s)


@pytest.mark.parametrize("after_s", kills.instants(3, seed=14))
def test_of_a_run_that_is_killed_at_any_time_the_bounds_hold(
    place: kills.Lane, after_s: float
) -> None:
    kills.kill_coordinator(place, after_s)


@pytest.mark.parametrize("options", [[], ["--workers", "2"]], ids=["alone", "workers"])
def test_a_run_of_any_length_that_is_killed_before_it_has_saved_anything_is_not_blamed(
    place: kills.Lane, options: list[str]
) -> None:
    closed = '{model = "closed", concurrency = 8, duration = "5s"}'
    acknowledged, counted, upper = kills.kill_run(place, 0.0, options, load=closed).bounds
    assert acknowledged <= counted < upper


@pytest.mark.parametrize("options", [[], ["--workers", "2"]], ids=["alone", "workers"])
def test_of_a_killed_run_with_sessions_uploads_are_known_as_they_were_saved(
    place: kills.Lane, options: list[str]
) -> None:
    sessions = {"sessions": '{uploads = 3, gap = "300ms"}', "load.duration": 5.0}
    acknowledged, counted, upper = kills.kill_run(place, 2.3, options, **sessions).bounds
    assert 0 < acknowledged <= counted <= upper


@pytest.mark.parametrize("options", [[], ["--workers", "2"]], ids=["alone", "workers"])
def test_of_a_killed_mix_the_bounds_of_each_flow_hold(
    place: kills.Lane, options: list[str]
) -> None:
    acknowledged, counted, upper = kills.kill_mix(place, 2.3, options).bounds
    assert 0 < acknowledged <= counted <= upper


def test_a_stop_reaches_all_workers_before_the_load_is_over(place: kills.Lane) -> None:
    # how soon is measured by `python -m tests.benchmarks.kills stop`
    stopped = kills.stop(place, 0.4)
    assert stopped.told_s is not None
    assert stopped.told_s < kills.LOAD_S * 5


@pytest.mark.parametrize(
    "happens", [kills.freeze_coordinator, kills.thaw_shard, kills.cut_pipe, kills.kill_far]
)
def test_who_has_heard_nothing_for_its_lease_sends_nothing(
    place: kills.Lane, happens: kills.Happens
) -> None:
    happens(place, 1.3)


def test_a_worker_of_a_cluster_that_is_cut_off_sends_nothing_after_its_lease(
    place: kills.Lane,
) -> None:
    pytest.importorskip("distributed")
    kills.cut_worker(place, 0.7)
