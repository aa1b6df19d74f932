"""What is looked at while a run goes on."""

from __future__ import annotations

import time
from typing import Any

import pytest

from loadcheck.load.pacer import OpenPacer
from loadcheck.measure.record import Record
from loadcheck.scenario.model import Stage
from loadcheck.verify.progress import Phase, Progress
from loadcheck.workflow.exchange import Origin
from loadcheck.workflow.runtime.plan import Role, StepPlan

STEP = StepPlan(
    step_id="send",
    index=0,
    role=Role.COPY,
    method="POST",
    origin=Origin("http", "127.0.0.1", 80),
    path="/",
    uses=frozenset(),
    dependent=False,
)


def progress(**more: Any) -> Progress:
    return Progress(name="burst", run_id="abc", record=Record([STEP], 0), **more)


def test_before_the_load_no_time_has_passed() -> None:
    assert progress().elapsed_s == 0
    assert progress().latest("started") is None
    assert (progress().stage, progress().trouble) == ("starting", "")


def test_time_passes_from_the_beginning_of_the_load() -> None:
    begun = progress(begin_ns=time.monotonic_ns() - 3_000_000_000)
    assert begun.elapsed_s >= 3


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
