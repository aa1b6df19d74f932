"""What is looked at while a run goes on."""

from __future__ import annotations

import time
from dataclasses import fields
from typing import Any

import pytest

from loadcheck.load.pacer import OpenPacer
from loadcheck.measure.record import Record
from loadcheck.scenario.model import Stage
from loadcheck.verify.progress import Outline, Phase, Progress
from tests.steps import step

STEP = step("send")


def progress(**more: Any) -> Progress:
    known = {each.name for each in fields(Outline)}
    outline = Outline(
        name="burst", run_id="abc", **{name: more.pop(name) for name in known & set(more)}
    )
    made = Progress(outline, Record([STEP], 0))
    for name, value in more.items():
        setattr(made, name, value)
    return made


def test_before_the_load_no_time_has_passed() -> None:
    assert progress().elapsed_s == 0
    assert progress().latest("started") is None
    assert (progress().stage, progress().trouble) == ("starting", "")


def test_time_passes_from_the_beginning_of_the_load() -> None:
    begun = progress(begin_ns=time.monotonic_ns() - 3_000_000_000)
    assert begun.elapsed_s >= 3
    ahead = progress(begin_ns=time.monotonic_ns() + 60_000_000_000)
    assert ahead.elapsed_s == 0


@pytest.mark.parametrize(
    ("phase", "told", "stage"),
    [
        (Phase.LOAD, {}, "load"),
        (Phase.LOAD, {"signals": 1}, "stopping"),
        (Phase.LOAD, {"aborted": True}, "stopping"),
        (Phase.SETTLE, {"signals": 1}, "settle"),
        (Phase.DONE, {"aborted": True}, "done"),
    ],
)
def test_only_a_load_that_goes_on_is_being_stopped(
    phase: Phase, told: dict[str, int], stage: str
) -> None:
    assert progress(phase=phase, **told).stage == stage


def test_a_closed_load_asks_for_no_rate() -> None:
    stage = Stage(name="steady", duration_s=60, rate=25, end_rate=25)
    pacer = OpenPacer(stages=(stage,), arrivals="constant", seed=0)
    assert progress().asked_rate is None
    assert progress(pacer=pacer).asked_rate == 25


def test_figures_are_those_of_the_last_full_second() -> None:
    run = progress()
    run.record.start(0)
    run.record.close_second(0)
    assert run.latest("started") == 1
    run.record.close_second(1)
    assert run.latest("started") == 0
    assert run.recent("started", 9) == [1, 0]
    assert run.recent("started", 1) == [0]


def test_the_stage_of_the_load_is_told_where_there_are_several() -> None:
    stages = [("baseline", 4.0), ("burst", 12.0), ("recovery", 16.0)]
    ago = time.monotonic_ns()
    for begun_s, told in (
        (0, "baseline (1 of 3)"),
        (5, "burst (2 of 3)"),
        (60, "recovery (3 of 3)"),
    ):
        run = progress(stages=stages, begin_ns=ago - begun_s * 1_000_000_000)
        assert run.part == told
    assert progress(stages=stages[:1]).part == ""


def test_the_time_left_is_that_of_the_load_and_then_of_the_waiting() -> None:
    begin_ns = time.monotonic_ns() - 3_000_000_000
    run = progress(begin_ns=begin_ns, duration_s=60.0, deadline_s=600.0, phase=Phase.LOAD)
    assert 50 < (run.left_s or 0) <= 57
    run.phase = Phase.SETTLE
    assert 500 < (run.left_s or 0) <= 597
    assert progress(phase=Phase.LOAD).left_s is None
    assert progress(duration_s=60.0).left_s is None
    assert progress(phase=Phase.SETTLE, begin_ns=begin_ns).left_s == 0


def test_the_processor_is_looked_at_about_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    run = progress()
    for now_s, used_s, share in ((10.0, 1.0, None), (10.5, 1.4, None), (12.0, 2.0, 0.5)):
        monkeypatch.setattr(time, "monotonic", lambda now_s=now_s: now_s)
        monkeypatch.setattr(time, "process_time", lambda used_s=used_s: used_s)
        assert run.cpu_share() == share


def test_of_workers_the_busiest_one_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not progress().is_shared
    run = progress()
    seen: list[dict[str, float]] = []
    run.workers = lambda: {"shards": seen}
    assert run.is_shared
    for now_s, told, share in (
        (10.0, [(0.0, 0.0), (0.0, 0.0)], None),
        (11.0, [(0.2, 1.0), (0.9, 1.0)], 0.9),
        (12.0, [(0.4, 2.0), (0.9, 1.0)], 0.2),  # the other has reported nothing since
        (13.0, [(0.4, 2.0), (0.9, 1.0)], 0.2),
    ):
        monkeypatch.setattr(time, "monotonic", lambda now_s=now_s: now_s)
        seen[:] = [{"cpu_s": cpu_s, "watched_s": watched_s} for cpu_s, watched_s in told]
        found = run.cpu_share()
        assert found == (None if share is None else pytest.approx(share))
