"""What the load engine is told of a scenario."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadcheck.load.gate import Limit
from loadcheck.load.pacer import OpenPacer
from loadcheck.load.retry import Backoff
from loadcheck.load.stages import StageSpan, stage_spans
from loadcheck.measure import Grid
from loadcheck.scenario.model import ClosedLoad, OpenLoad, Scenario

if TYPE_CHECKING:
    from loadcheck.pipeline.prepare import Prepared
    from loadcheck.workflow.plan import Plan


def pacer_of(load: OpenLoad, seed: int) -> OpenPacer:
    """Return the schedule of an open load."""
    return OpenPacer(stages=load.stages, arrivals=load.arrivals, seed=seed)


def asked_copies(load: OpenLoad | ClosedLoad, seed: int) -> int | None:
    """Return how many copies a load asks for; None if time alone decides."""
    return load.copies if isinstance(load, ClosedLoad) else pacer_of(load, seed).planned


def max_in_flight(scenario: Scenario) -> int:
    """Return the most copies that may be under way at once."""
    load = scenario.load
    return load.concurrency if isinstance(load, ClosedLoad) else load.max_in_flight


def most_requests(scenario: Scenario) -> int:
    """Return the most requests of copies that may be under way at once: the connections needed."""
    together = scenario.load.copies_per_request
    return -(-max_in_flight(scenario) // together)


def stages_of(scenario: Scenario, prepared: Prepared) -> tuple[StageSpan, ...]:
    """Return the stages that are to be measured on their own: those that thresholds name."""
    load, pacer = scenario.load, prepared.pacer
    if not isinstance(load, OpenLoad) or pacer is None:
        return ()
    wanted = {threshold.metric.stage for threshold in prepared.thresholds} - {""}
    return stage_spans(pacer, [(stage.name, stage) for stage in load.stages], wanted)


def grid_of(scenario: Scenario) -> Grid:
    """Return the intervals that a load is measured by, cut at the boundaries of its stages."""
    load = scenario.load
    if isinstance(load, OpenLoad):
        return Grid([stage.duration_s for stage in load.stages])
    return Grid([load.duration_s] if load.duration_s is not None else ())


def limits_of(scenario: Scenario, plan: Plan) -> dict[int, Limit]:
    """Return what metered steps may ask of the service, by index of the step."""
    by_name = scenario.limits
    return {
        step.index: Limit(
            concurrency=by_name[step.step_id].concurrency, rate=by_name[step.step_id].rate
        )
        for step in plan.steps
        if step.step_id in by_name
    }


def backoff(scenario: Scenario, seed: int) -> Backoff:
    """Return the scenario's answer to failed attempts."""
    retry = scenario.retry
    return Backoff(
        attempts=retry.attempts,
        backoff_s=retry.backoff_s,
        max_backoff_s=retry.max_backoff_s,
        on=retry.on,
        seed=seed,
    )
